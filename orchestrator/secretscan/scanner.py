"""What may not leave: secrets found in texts, as findings that do not hold them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from orchestrator.models import SecretFinding
from orchestrator.secretscan.allowlist import AllowList
from orchestrator.secretscan.engine import Match, find, readings

#: The rule of what could not be scanned.
UNSCANNABLE = "unscannable"
#: More findings of one text say nothing new.
FINDINGS_PER_TEXT = 100
FINDINGS_AT_MOST = 1000
#: A text with more that could be one is for people to look at.
_MATCHES_PER_TEXT = 10_000
_FINGERPRINT_CHARACTERS = 32


@dataclass(frozen=True)
class ScannedText:
    """Something that is to leave, and what stood there before; None where it cannot be read.

    `reason` says why it cannot, with what tells this one from another (an object id).
    """

    commit: str | None
    file: str
    content: bytes | None = field(repr=False)
    before: bytes = field(default=b"", repr=False)
    reason: str = ""


class Scanner:
    """Finds secrets; only who holds the key can tell which one a finding is about."""

    def __init__(self, key: bytes, allow: AllowList) -> None:
        self._key = key
        self._allow = allow

    def scan(
        self, texts: Iterable[ScannedText], *, repository: str = ""
    ) -> tuple[SecretFinding, ...]:
        """Return what these texts add that may not leave this machine; none where all may.

        A secret that stood there before is not found. Paths make no difference, nor do comments.
        """
        found = (
            finding
            for text in texts
            # What is allowed leaves room for what is not.
            for finding in islice(self._not_allowed(text, repository), FINDINGS_PER_TEXT)
        )
        return tuple(islice(found, FINDINGS_AT_MOST))

    def _not_allowed(self, text: ScannedText, repository: str) -> Iterator[SecretFinding]:
        return (one for one in self._scan(text) if not self._allow.allows(one, repository))

    def _scan(self, text: ScannedText) -> Iterator[SecretFinding]:
        # A path may hold a secret too.
        file = masked(text.file)
        try:
            for match, line in _secrets(text):
                yield self._finding(match.rule, text.commit, file, line, match.secret)
        except TimeoutError:
            what = f"{UNSCANNABLE}\0{text.file}\0{text.reason}".encode(errors="surrogatepass")
            yield self._finding(UNSCANNABLE, text.commit, file, 1, what)

    def _finding(
        self, rule: str, commit: str | None, file: str, line: int, secret: bytes
    ) -> SecretFinding:
        digest = hmac.new(self._key, secret, hashlib.sha256).hexdigest()
        return SecretFinding(
            rule=rule,
            commit=commit,
            file=file,
            line=line,
            fingerprint=digest[:_FINGERPRINT_CHARACTERS],
        )


def masked(text: str) -> str:
    """Return a text with every secret in it replaced by `[secret:<rule>]`, and without NULs."""
    content = text.replace("\0", "").encode(errors="replace")
    pieces, position = [], 0
    for match in find(content):
        pieces += [content[position : match.start], f"[secret:{match.rule}]".encode()]
        position = match.end
    if not pieces:
        return text.replace("\0", "")
    return b"".join((*pieces, content[position:])).decode(errors="replace")


def _secrets(text: ScannedText) -> Iterator[tuple[Match, int]]:
    """Yield each new secret of a text once, with its line.

    Raises:
        TimeoutError: it cannot be read, or not in time.
    """
    if text.content is None:
        raise TimeoutError
    seen: set[bytes] = set()
    before = readings(text.before)
    for content in readings(text.content):
        line, position = 1, 0
        for match in find(content):
            if match.secret in seen:
                continue
            seen.add(match.secret)
            if len(seen) > _MATCHES_PER_TEXT:
                raise TimeoutError
            if any(match.secret in known for known in before):
                continue
            line += content.count(b"\n", position, match.start)
            position = match.start
            yield match, line
