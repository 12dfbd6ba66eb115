"""What may not leave: secrets found in texts, as findings that do not hold them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator.models import SecretFinding
from orchestrator.secretscan.allow import AllowList
from orchestrator.secretscan.engine import Match, find, readings

#: The rule of what could not be scanned.
UNSCANNABLE = "unscannable"
#: More findings of one text say nothing new.
FINDINGS_PER_TEXT = 100
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
        found = (finding for text in texts for finding in self._scan(text))
        return tuple(finding for finding in found if not self._allow.allows(finding, repository))

    def _scan(self, text: ScannedText) -> Iterator[SecretFinding]:
        try:
            secrets = _secrets(text)
        except TimeoutError:
            secrets = None
        # A path may hold a secret too.
        file = masked(text.file)
        if secrets is None:
            what = f"{UNSCANNABLE}\0{text.file}\0{text.reason}".encode(errors="surrogatepass")
            yield self._finding(UNSCANNABLE, text.commit, file, 1, what)
            return
        for match, line in secrets:
            yield self._finding(match.rule, text.commit, file, line, match.secret)

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


def _secrets(text: ScannedText) -> tuple[tuple[Match, int], ...] | None:
    """Return each new secret of a text once, with its line; None if it cannot be read."""
    if text.content is None:
        return None
    found: list[tuple[Match, int]] = []
    seen: set[bytes] = set()
    before = readings(text.before)
    for content in readings(text.content):
        for match in find(content):
            if match.secret in seen:
                continue
            seen.add(match.secret)
            if any(match.secret in known for known in before):
                continue
            found.append((match, content.count(b"\n", 0, match.start) + 1))
            if len(found) == FINDINGS_PER_TEXT:
                return tuple(found)
    return tuple(found)
