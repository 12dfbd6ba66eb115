"""Finds the secrets in a text by the rules of kingfisher and of this package, in any encoding."""

from __future__ import annotations

import functools
import time
import tomllib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.secretscan.encodings import encoded
from orchestrator.secretscan.false_positives import is_secret
from orchestrator.secretscan.literals import joints
from orchestrator.secretscan.public_blocks import PublicBlocks
from orchestrator.secretscan.public_values import is_public
from orchestrator.secretscan.views import View

if TYPE_CHECKING:
    import kingfisher_sdk

#: One text takes milliseconds; a text that takes this long was made to be slow.
SCAN_TIMEOUT_S = 20.0
_RULES = Path(__file__).with_name("rules.toml")
_OURS = "custom."
# The rules of this package find the same and recognize placeholders.
_REPLACED = frozenset(
    f"betterleaks.{name}"
    for name in ("generic-credential-uri", "curl-auth-user", "curl-auth-header")
)
#: The number of nested readings, for instance base64 in a literal that is split.
_DEPTH = 2
#: The bytes of the line before a value that are read.
_BEFORE_BYTES = 200


@dataclass(frozen=True)
class Match:
    """A secret in a text: its rule, its position in bytes, its own bytes (never shown)."""

    rule: str
    start: int
    end: int
    secret: bytes = field(repr=False)


def readings(content: bytes) -> tuple[bytes, ...]:
    """Return the texts as which a blob may be read: itself, and without NULs if it has any.

    Without NULs, UTF-16 and UTF-32 are as readable as text with inserted NULs, with or without a
    byte order mark.
    """
    return (content, content.replace(b"\0", b"")) if b"\0" in content else (content,)


def find(text: bytes) -> list[Match]:
    """Return the secrets in a text, in order; none overlaps another.

    Raises:
        TimeoutError: it was not done within SCAN_TIMEOUT_S.
    """
    # Compiling the rules takes seconds, and is no fault of the text.
    _loaded()
    deadline = time.monotonic() + SCAN_TIMEOUT_S
    blocks = PublicBlocks(text)
    found = [
        (level, match)
        for level, match in _everywhere(text, deadline)
        if not (blocks.hold(match.start, match.end) and _only_looks_like_one(match))
    ]
    # A known form is the strongest evidence, then the reading that is nearest to the program's own.
    found.sort(key=_rank)
    return _apart([match for _, match in found])


def _rank(one: tuple[int, Match]) -> tuple[bool, int, int, int, str]:
    level, match = one
    return _only_looks_like_one(match), -level, match.start, -match.end, match.rule


def _apart(found: list[Match]) -> list[Match]:
    """Return matches in order; of overlapping ones the first, at the position of all of them."""
    starts: list[int] = []
    kept: list[Match] = []
    for match in found:
        index = bisect_right(starts, match.start)
        low = index - (index > 0 and kept[index - 1].end > match.start)
        high = bisect_left(starts, match.end, low)
        over = kept[low:high]
        place = Match(
            over[0].rule if over else match.rule,
            min((match.start, *(one.start for one in over))),
            max((match.end, *(one.end for one in over))),
            over[0].secret if over else match.secret,
        )
        kept[low:high] = [place]
        starts[low:high] = [place.start]
    return kept


def _everywhere(text: bytes, deadline: float, level: int = 0) -> Iterator[tuple[int, Match]]:
    """Yield the matches in the text, then those in its other readings, by their position here."""
    for match in _find(text, deadline):
        yield level, match
    for edits in (joints(text), encoded(text)) if level < _DEPTH else ():
        if edits:
            view = View(text, edits)
            for deeper, match in _everywhere(view.text, deadline, level + 1):
                start, end = view.origin(match.start, match.end)
                yield deeper, Match(match.rule, start, end, match.secret)


def _find(text: bytes, deadline: float) -> Iterator[Match]:
    scanner, kinds = _loaded()
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError
    # After a byte order mark kingfisher reads only text of that encoding, so none may come first.
    for finding in scanner.scan(b"\n" + text, timeout=remaining_s):
        if not finding.visible or finding.rule_id in _REPLACED:
            continue
        place = finding.location
        start, end = place["start_offset"] - 1, place["end_offset"] - 1
        secret, kind = text[start:end], kinds.get(finding.rule_id)
        line = max(text.rfind(b"\n", 0, start) + 1, start - _BEFORE_BYTES)
        before = text[line:start]
        if is_public(secret, before):
            continue
        if kind is not None and not is_secret(secret, kind, before):
            continue
        yield Match(finding.rule_id, start, end, secret)


def _only_looks_like_one(match: Match) -> bool:
    return _loaded()[1].get(match.rule, "certain") != "certain"


@functools.cache
def _loaded() -> tuple[kingfisher_sdk.Scanner, dict[str, str]]:
    """Load the rules once for each process; the user's cache stores the compiled rules."""
    import kingfisher_sdk  # noqa: PLC0415 - most processes read only the allow list

    rules = tomllib.loads(_RULES.read_text(encoding="utf-8"))["rules"]
    kinds = {f"{_OURS}{rule['id']}": rule["value"] for rule in rules}
    # This package decodes encoded text itself, so that a secret is the same in every encoding.
    return kingfisher_sdk.Scanner(kingfisher_sdk.Rules([_RULES]), base64=False), kinds
