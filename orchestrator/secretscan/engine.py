"""What secrets a text holds: kingfisher's rules and ours over it, however it is written."""

from __future__ import annotations

import functools
import re
import tomllib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import kingfisher_sdk

from orchestrator.secretscan.false_positives import is_secret

#: One text takes milliseconds; one that takes this long was made to.
SCAN_TIMEOUT_S = 20.0
_RULES = Path(__file__).with_name("rules.toml")
_OURS = "custom."
# Ours find the same and know placeholders.
_REPLACED = frozenset(
    f"betterleaks.{name}"
    for name in ("generic-credential-uri", "curl-auth-user", "curl-auth-header")
)
# Where a literal goes on in the next: `"a" + "b"`, `"a" "b"`, a backslash at the end of the line.
_JOINT = re.compile(rb"""["'`](?:\s{1,100}|\s{0,100}[+.]\s{0,100}|\\\r?\n\s{0,100})["'`]|\\\r?\n""")
#: What of the line around a joint is looked at.
_AROUND_BYTES = 4096
#: What of the line before a value is looked at.
_BEFORE_BYTES = 200


@dataclass(frozen=True)
class Match:
    """A secret in a text: its rule, its place in bytes, its own bytes (never shown)."""

    rule: str
    start: int
    end: int
    secret: bytes = field(repr=False)


def readings(content: bytes) -> tuple[bytes, ...]:
    """Return the texts a blob may be read as: itself, and without NULs if it has any.

    Without them UTF-16 and UTF-32 are as plain as text with NULs put into it, whatever the mark.
    """
    return (content, content.replace(b"\0", b"")) if b"\0" in content else (content,)


def find(text: bytes) -> list[Match]:
    """Return the secrets in a text, in order; none overlaps another.

    Raises:
        TimeoutError: it was not done within SCAN_TIMEOUT_S.
    """
    found = list(_find(text))
    joined = _Joined(text)
    for match in _find(joined.text) if joined.text else ():
        start, end = joined.origin(match.start), joined.origin(match.end - 1) + 1
        found.append(Match(match.rule, start, end, match.secret))
    found.sort(
        key=lambda match: (match.start, match.rule.startswith(_OURS), -match.end, match.rule)
    )
    kept: list[Match] = []
    for match in found:
        if not kept or match.start >= kept[-1].end:
            kept.append(match)
    return kept


class _Joined:
    """The lines of a text in which literals are split, joined; and where each byte came from."""

    def __init__(self, text: bytes) -> None:
        self._starts, self._origins = array("Q"), array("Q")
        pieces, size = [], 0
        for start, end in _between_joints(text):
            pieces.append(text[start:end])
            self._starts.append(size)
            self._origins.append(start)
            size += end - start
        self.text = b"".join(pieces)

    def origin(self, position: int) -> int:
        """Return where in the text a byte of the joined lines stood."""
        piece = bisect_right(self._starts, position) - 1
        return self._origins[piece] + position - self._starts[piece]


def _between_joints(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield the start and end of what stays of each line with joints in it."""
    resume, tail = 0, -1
    for joint in _JOINT.finditer(text):
        start, end = joint.span()
        if start > tail:
            if tail >= 0:
                yield resume, tail
            low = max(tail, start - _AROUND_BYTES, 0)
            resume = max(low, text.rfind(b"\n", low, start) + 1)
        yield resume, start
        resume = end
        newline = text.find(b"\n", end, end + _AROUND_BYTES)
        tail = newline + 1 if newline >= 0 else min(len(text), end + _AROUND_BYTES)
    if tail >= 0:
        yield resume, tail


def _find(text: bytes) -> Iterator[Match]:
    scanner, kinds = _loaded()
    # After a byte order mark kingfisher sees only what is of that encoding: none may come first.
    for finding in scanner.scan(b"\n" + text, timeout=SCAN_TIMEOUT_S):
        if not finding.visible or finding.rule_id in _REPLACED:
            continue
        place = finding.location
        start, end = place["start_offset"] - 1, place["end_offset"] - 1
        secret, kind = text[start:end], kinds.get(finding.rule_id)
        if kind is not None:
            line = max(text.rfind(b"\n", 0, start) + 1, start - _BEFORE_BYTES)
            if not is_secret(secret, kind, text[line:start]):
                continue
        yield Match(finding.rule_id, start, end, secret)


@functools.cache
def _loaded() -> tuple[kingfisher_sdk.Scanner, dict[str, str]]:
    """Load the rules, once in a process; what compiling them took is kept in the user's cache."""
    rules = tomllib.loads(_RULES.read_text(encoding="utf-8"))["rules"]
    kinds = {f"{_OURS}{rule['id']}": rule["value"] for rule in rules}
    return kingfisher_sdk.Scanner(kingfisher_sdk.Rules([_RULES])), kinds
