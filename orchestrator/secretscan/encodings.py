"""Encoded parts of a text: hex, escapes, percent signs, base64."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable, Iterator

from orchestrator.secretscan.literals import in_order
from orchestrator.secretscan.views import Edit

#: A shorter value is no secret.
_FEWEST_BYTES = 6
#: Text between bytes that are no text must be longer, because it may be chance.
_FEWEST_OF_PART = 16
_FEWEST_SIGNS_OF_PART = 32
_PRINTABLE = re.compile(rb"[\t\n\r -~]+")
_PART = re.compile(rb"[\t\n\r -~]{%d,}" % _FEWEST_OF_PART)

# Single characters, anywhere: \x67 \u0067 \u{67} \147 %67 &#x67; &#103;
_ESCAPE = re.compile(
    rb"[\\%&](?:\\?(?:x|u00|U000000)([2-7][0-9a-fA-F])(?![0-9a-fA-F]{6})|\\?u\{0{0,4}([2-7][0-9a-fA-F])\}"
    rb"|(?<=%)([2-7][0-9a-fA-F])|#x0{0,4}([2-7][0-9a-fA-F]);|\\?([01][0-7]{2})|#0{0,4}(\d{2,3});)"
)
# Bytes in a list: 0x67, 0x68 · [103, 104] · chr(103) + chr(104)
_HEX_LIST = re.compile(
    rb"0x[0-9a-fA-F]{2}[^\w\n]{1,6}\s{0,40}+(?:0x[0-9a-fA-F]{2}[^\w\n]{1,6}\s{0,40}+){4,4000}+"
    rb"(?:0x[0-9a-fA-F]{2})?"
)
_DECIMAL_LIST = re.compile(
    rb"[\[({]\s{0,40}+(?:\d{2,3}\s{0,2},\s{0,40}+){5,4000}+(?:\d{2,3}\s{0,40}+)?[\])}]"
)
_CHARACTERS = re.compile(
    rb"\((?<=[hHaA][rR]\()\s?\d{2,3}\s?\)(?:[\s.+&|,]{1,40}+[\w.]{2,20}+\(\s?\d{2,3}\s?\)){5,4000}+"
)
_HEX_BYTE = re.compile(rb"0x([0-9a-fA-F]{2})")
_NUMBER = re.compile(rb"\d+")
# Runs of hex and base64, which may continue in the next line.
_NEXT_LINE = rb"\r?\n[ \t>#*/|]{0,40}+"
_RUN = re.compile(
    rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}+(?:"
    + _NEXT_LINE
    + rb"[A-Za-z0-9+/_-]{4,}+)*+={0,2}"
)
_HEX = re.compile(rb"(?:0?[xX])?((?:[0-9a-fA-F]{2}){8,})")
_LINE_ENDS = re.compile(_NEXT_LINE)
_FROM_URL = bytes.maketrans(b"-_", b"+/")
# A call around a literal that decodes the literal.
_CALL_BEFORE = re.compile(
    rb"(?:(?:new\s)?[\w.:]{1,60}\s?\(\s?){1,3}[rRbBuU]?([\"'`])$"
    rb"|\$\(\s?(?:echo|printf)\s(?:-\w\s)?([\"']?)$"
)
_CALL_AFTER = re.compile(
    rb"=?[\"'`][^()\n]{0,40}\)(?:[^()\n\"'`]{0,20}\)){0,2}(?:\.\w{1,30}\([^()\n]{0,30}\))?"
    rb"|=?[\"']?\s?\|[^)\n]{0,60}\)"
)
_CALLS_BEFORE = re.compile(rb"(?:[\w.:]{1,60}\s?\(\s?){0,3}[\w.:]{0,60}$")
_CALLS_AFTER = re.compile(rb"(?:\s?\)){0,3}")
_CALL_BYTES = 120


def encoded(text: bytes) -> list[Edit]:
    """Return the encoded parts with their decoded text, in order."""
    edits = [*_escapes(text), *_runs(text)]
    for pattern, decode in _LISTS:
        for part in pattern.finditer(text):
            plain = _readable(decode(part[0]))
            edits += [_list(text, *part.span(), plain)] if plain else []
    return in_order(edits)


def _escapes(text: bytes) -> Iterator[Edit]:
    for escape in _ESCAPE.finditer(text):
        *hexadecimal, octal, decimal = escape.groups()
        digits = next((one for one in hexadecimal if one), None)
        number = int(digits, 16) if digits else int(octal, 8) if octal else int(decimal)
        # Spaces separate words, and no secret continues after one.
        if 0x20 < number < 0x7F:  # noqa: PLR2004 - the signs of ASCII
            yield Edit(*escape.span(), bytes((number,)))


def _runs(text: bytes) -> Iterator[Edit]:
    for run in _RUN.finditer(text):
        part = run[0]
        if b"\n" in part:
            part = _LINE_ENDS.sub(b"", part)
        if (digits := _HEX.fullmatch(part)) is not None:
            plain = _readable(bytes.fromhex(digits[1].decode()))
        elif part.islower() or part.isupper() or not part.strip(b"-_/+"):
            # Most matches are words, paths and rulers; base64 contains capitals.
            continue
        else:
            plain = _base64(part)
        if plain:
            yield _literal(text, *run.span(), plain)


def _base64(part: bytes) -> bytes:
    signs = part.rstrip(b"=").translate(_FROM_URL)
    whole = _readable(_unpacked(signs))
    if whole or len(signs) < _FEWEST_SIGNS_OF_PART:
        return whole
    # A word may precede it without a separator, and bytes that are no text may surround it.
    found = [one for offset in range(4) for one in _PART.findall(_unpacked(signs[offset:]))]
    return b"\n%s\n" % b"\n".join(found) if found else b""


def _unpacked(signs: bytes) -> bytes:
    odd = len(signs) % 4
    # One sign more than whole bytes is invalid.
    return a2b_base64(signs + b"=" * (4 - odd) if odd > 1 else signs[: len(signs) - odd])


def _readable(data: bytes) -> bytes:
    """Return these bytes if all of them are text, without the NULs of UTF-16; else nothing."""
    plain = data.replace(b"\0", b"") if b"\0" in data else data
    is_text = len(plain) >= _FEWEST_BYTES and _PRINTABLE.fullmatch(plain) is not None
    return plain if is_text else b""


def _literal(text: bytes, start: int, end: int, plain: bytes) -> Edit:
    """Widen the part to the call that decodes it, so that the assigned value is its value."""
    line = max(text.rfind(b"\n", 0, start) + 1, start - _CALL_BYTES)
    before = _CALL_BEFORE.search(text[line:start])
    after = _CALL_AFTER.match(text, end, end + _CALL_BYTES)
    if before is None or after is None or b'"' in plain:
        return Edit(start, end, plain)
    return Edit(line + before.start(), after.end(), b'"%s"' % plain)


def _list(text: bytes, start: int, end: int, plain: bytes) -> Edit:
    """Widen a list of bytes to the calls around it, so that a literal remains."""
    line = max(text.rfind(b"\n", 0, start) + 1, start - _CALL_BYTES)
    before = _CALLS_BEFORE.search(text[line:start])
    after = _CALLS_AFTER.match(text, end)
    first = line + before.start() if before else start
    return Edit(first, after.end() if after else end, b'"%s"' % plain)


def _numbers(part: bytes) -> bytes:
    numbers = [int(number) for number in _NUMBER.findall(part)]
    return bytes(numbers) if max(numbers) < 0x80 else b""  # noqa: PLR2004 - ASCII


_LISTS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], bytes]], ...] = (
    (_HEX_LIST, lambda part: bytes(int(byte, 16) for byte in _HEX_BYTE.findall(part))),
    (_DECIMAL_LIST, _numbers),
    (_CHARACTERS, _numbers),
)
