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

    `reason` says why it cannot, with what tells this one from another (an object id). A secret in
    `before` is never a finding; one in `earlier` only if an earlier text of the same scan had it
    as a finding: whoever wrote both may have shown it in a harmless form first.
    """

    commit: str | None
    file: str
    content: bytes | None = field(repr=False)
    before: bytes = field(default=b"", repr=False)
    reason: str = ""
    earlier: bytes = field(default=b"", repr=False)


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
        reported: set[bytes] = set()
        found = (
            finding
            for text in texts
            # What is allowed leaves room for what is not.
            for finding in islice(self._scan(text, repository, reported), FINDINGS_PER_TEXT)
        )
        return tuple(islice(found, FINDINGS_AT_MOST))

    def _scan(
        self, text: ScannedText, repository: str, reported: set[bytes]
    ) -> Iterator[SecretFinding]:
        file = _shown(text.file)
        earlier = _Held(text.earlier)
        try:
            for match, line, shown in _secrets(text):
                if match.secret in reported and earlier.holds(match, shown):
                    continue
                finding = self._finding(match.rule, text.commit, file, line, match.secret)
                # What the operator let pass in one form is not let pass in another.
                if not self._allow.allows(finding, repository):
                    reported.add(match.secret)
                    yield finding
        except TimeoutError:
            what = f"{UNSCANNABLE}\0{text.file}\0{text.reason}".encode(errors="surrogatepass")
            finding = self._finding(UNSCANNABLE, text.commit, file, 1, what)
            if not self._allow.allows(finding, repository):
                yield finding

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


def _shown(path: str) -> str:
    # A path may hold a secret too.
    try:
        return masked(path)
    except TimeoutError:
        return f"[{UNSCANNABLE}]"


class _Held:
    """What stood in a text, in whatever form."""

    def __init__(self, content: bytes) -> None:
        self._readings = readings(content)
        self._secrets: set[bytes] | None = None

    def holds(self, match: Match, shown: bytes) -> bool:
        """Return whether the secret stood here: plain, as it is shown now, or in another form.

        Raises:
            TimeoutError: it was not known in time.
        """
        if any(match.secret in content or shown in content for content in self._readings):
            return True
        if self._secrets is None:
            self._secrets = {one.secret for content in self._readings for one in find(content)}
        return match.secret in self._secrets


def _secrets(text: ScannedText) -> Iterator[tuple[Match, int, bytes]]:
    """Yield each new secret of a text once, with its line and the bytes that show it.

    Raises:
        TimeoutError: it cannot be read, or not in time.
    """
    if text.content is None:
        raise TimeoutError
    seen: set[bytes] = set()
    before = _Held(text.before)
    for content in readings(text.content):
        line, position = 1, 0
        for match in find(content):
            if match.secret in seen:
                continue
            seen.add(match.secret)
            if len(seen) > _MATCHES_PER_TEXT:
                raise TimeoutError
            shown = content[match.start : match.end]
            if before.holds(match, shown):
                continue
            line += content.count(b"\n", position, match.start)
            position = match.start
            yield match, line, shown
