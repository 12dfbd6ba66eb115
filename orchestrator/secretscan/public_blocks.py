"""Blocks of a text that are public by their structure: signatures, certificates, public keys.

Random text in such a block is no secret. A block counts only if its body is base64 of the data that
its label names, so that no other text fits between its lines.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from bisect import bisect_right

_LABELS = (
    rb"PGP SIGNATURE|PGP PUBLIC KEY BLOCK|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE|CMS|PKCS7"
    rb"|(?:X509 |TRUSTED )?CERTIFICATE|(?:NEW )?CERTIFICATE REQUEST|X509 CRL"
    rb"|(?:RSA |EC )?PUBLIC KEY"
    rb"|(?:DH|EC) PARAMETERS|AGE ENCRYPTED FILE"
)
#: A larger block is scanned as any other text.
_MOST_BYTES = 100_000
_BEGIN = re.compile(rb"-----BEGIN (" + _LABELS + rb")-----")
# The form of blocks in source code: escaped line ends, quotes, concatenation, comment signs,
# indents.
_AROUND_LINES = re.compile(
    rb"(?:\\[rn]|(?<=[\"'`\s])\+(?=\s)|(?<=[\"'`])\+(?=[\"'`])|[\s\"'`>|#*,\\])+"
)
_ADDED = re.compile(rb"(?m)^\+")
_HEADER = re.compile(rb"(?m)^\s*(?:Version|Comment|Hash|Charset|MessageID): [ -~]*\r?\n")
_CHECKSUM = re.compile(rb"=[A-Za-z0-9+/]{4}$")
_FIRST_TAGS = {
    b"PGP SIGNATURE": (2,),
    b"PGP PUBLIC KEY BLOCK": (6,),
    b"PGP MESSAGE": (1, 3, 8, 18),
}
_FIRST_BYTES = {b"SSH SIGNATURE": b"SSHSIG\0\0\0\x01", b"AGE ENCRYPTED FILE": b"age-encryption.org"}


class PublicBlocks:
    """The public blocks of one text."""

    def __init__(self, text: bytes) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        if b"-----BEGIN " not in text:
            return
        for begin in _BEGIN.finditer(text):
            label = begin[1]
            end = text.find(b"-----END " + label, begin.end(), begin.end() + _MOST_BYTES)
            # The writer of an armour chooses its headers, so they are not part of the block.
            start = _after_headers(text, begin.end(), end)
            if end >= 0 and _is_whole(label, text[start:end]):
                self._starts.append(start)
                self._ends.append(end)

    def hold(self, start: int, end: int) -> bool:
        """Return whether the text from `start` to `end` is inside a block."""
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and end <= self._ends[index]


def _after_headers(text: bytes, start: int, end: int) -> int:
    position = start
    while header := _HEADER.search(text, position, max(end, start)):
        position = header.end()
    return position


def _is_whole(label: bytes, body: bytes) -> bool:
    # The body is tested unchanged, and in the form of a patch's added lines.
    return _is_of(label, body) or _is_of(label, _ADDED.sub(b"", body))


def _is_of(label: bytes, body: bytes) -> bool:
    packed = _AROUND_LINES.sub(b"", body)
    if label.startswith(b"PGP "):
        packed = _CHECKSUM.sub(b"", packed)
    try:
        data = a2b_base64(packed, strict_mode=True)
    except Error:
        return False
    if label in _FIRST_TAGS:
        return _first_tag(data) in _FIRST_TAGS[label]
    if label in _FIRST_BYTES:
        return data.startswith(_FIRST_BYTES[label])
    return _is_der(data)


def _first_tag(data: bytes) -> int:
    """Return the tag of the first OpenPGP packet; 0 if there is none (RFC 9580, 4.2)."""
    if not data or not data[0] & 0x80:
        return 0
    return data[0] & 0x3F if data[0] & 0x40 else data[0] >> 2 & 0x0F


def _is_der(data: bytes) -> bool:
    """Return whether this is one DER sequence of exactly its own length."""
    if len(data) < 2 or data[0] != 0x30:  # noqa: PLR2004 - a tag and a length
        return False
    if data[1] < 0x80:  # noqa: PLR2004 - the short form of a length
        return len(data) == 2 + data[1]
    size = data[1] & 0x7F
    return len(data) == 2 + size + int.from_bytes(data[2 : 2 + size], "big")
