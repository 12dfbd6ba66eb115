"""Finds secrets in texts, and returns findings that do not contain them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from orchestrator.models import SecretFinding
from orchestrator.secretscan.allowlist import AllowList
from orchestrator.secretscan.engine import Match, find, readings

#: The rule of a text that could not be scanned.
UNSCANNABLE = "unscannable"
#: More findings of one text are not reported.
FINDINGS_PER_TEXT = 100
FINDINGS_AT_MOST = 1000
#: A text with more possible matches needs a review by a person.
_MATCHES_PER_TEXT = 10_000
_FINGERPRINT_CHARACTERS = 32


@dataclass(frozen=True)
class ScannedText:
    """A text to scan, and the text that it replaces; None if it cannot be read.

    `reason` says why it cannot be read, with an id that identifies the object. A secret in `before`
    is never a finding. A secret in `earlier` is a finding only if an earlier text of the same scan
    had it as one, because the author of both texts may have written a harmless form first.
    """

    commit: str | None
    file: str
    content: bytes | None = field(repr=False)
    before: bytes = field(default=b"", repr=False)
    reason: str = ""
    earlier: bytes = field(default=b"", repr=False)


class Scanner:
    """Finds secrets; only the holder of the key can identify the secret of a finding."""

    def __init__(self, key: bytes, allow: AllowList) -> None:
        self._key = key
        self._allow = allow

    def scan(
        self, texts: Iterable[ScannedText], *, repository: str = ""
    ) -> tuple[SecretFinding, ...]:
        """Return the secrets that these texts add; empty if there is none.

        A secret of the replaced text is not reported. Paths and comments make no difference.
        """
        reported: set[bytes] = set()
        found = (
            finding
            for text in texts
            # Allowed findings do not count towards the limit.
            for finding in islice(self._scan(text, repository, reported), FINDINGS_PER_TEXT)
        )
        return tuple(islice(found, FINDINGS_AT_MOST))

    def _scan(
        self, text: ScannedText, repository: str, reported: set[bytes]
    ) -> Iterator[SecretFinding]:
        # A path may contain a secret too.
        file = masked(text.file)
        earlier = _Held(text.earlier)
        try:
            for match, line, shown in _secrets(text):
                if match.secret in reported and earlier.holds(match, shown):
                    continue
                finding = self._finding(match.rule, text.commit, file, line, match.secret)
                # If the operator allows a secret in one form, the other forms are not allowed.
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
    """Return a text with every secret in it replaced by `[secret:<rule>]`, and without NULs.

    Of a text that cannot be scanned in time, nothing is returned but a note that says so.
    """
    content = text.replace("\0", "").encode(errors="replace")
    pieces, position = [], 0
    try:
        found = find(content)
    except TimeoutError:
        return f"[{UNSCANNABLE}]"
    for match in found:
        pieces += [content[position : match.start], f"[secret:{match.rule}]".encode()]
        position = match.end
    if not pieces:
        return text.replace("\0", "")
    return b"".join((*pieces, content[position:])).decode(errors="replace")


class _Held:
    """The secrets of a replaced text, in any form."""

    def __init__(self, content: bytes) -> None:
        self._readings = readings(content)
        self._secrets: set[bytes] | None = None

    def holds(self, match: Match, shown: bytes) -> bool:
        """Return whether the text had the secret: plain, in its current form, or in another form.

        Raises:
            TimeoutError: the search did not finish in time.
        """
        if any(match.secret in content or shown in content for content in self._readings):
            return True
        if self._secrets is None:
            self._secrets = {one.secret for content in self._readings for one in find(content)}
        return match.secret in self._secrets


def _secrets(text: ScannedText) -> Iterator[tuple[Match, int, bytes]]:
    """Yield each new secret of a text once, with its line and the bytes that show it.

    Raises:
        TimeoutError: the text cannot be read, or not in time.
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
