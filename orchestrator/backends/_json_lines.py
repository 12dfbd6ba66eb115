"""Finds the JSON objects in a line of output, whatever else the line contains; no line is an error.

A line may contain an event together with a warning that had no newline, another event, or the rest
of a truncated one. Any other text is returned as `Foreign`, in the order of the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from orchestrator.interfaces.signals import Foreign

#: The levels of nesting that are read; deeper values become null.
DEEPEST = 100
#: The possible beginning of an object, in a line that begins with other text.
_BEGINNING = re.compile(r'\{\s*["}]')
#: The number of searches for a beginning in one line, and how many times its length may be read.
_TRIES, _READINGS = 64, 16
#: The number of characters before a truncation that are searched for the beginning of another
#: event.
_LOOK_BACK = 8
_BLANK = " \t\r\n\v\f\0\ufeff"
_BLANKS = re.compile(f"[{_BLANK}]*")
#: The characters that follow an object inside another one; such an object is no event.
_GOES_ON = frozenset(',]}:"')
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
#: Longer numbers are read as floats, because no count has more digits.
_DIGITS = 19
_KINDS = {str: "a JSON string", list: "a JSON array", bool: "a JSON boolean"}


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else float(digits)


# Control characters in strings are accepted, because some programs do not escape them.
_DECODER = json.JSONDecoder(strict=False, parse_int=_whole)


def parts(line: bytes) -> list[dict[str, Any] | Foreign]:
    """Return the parts of a line: objects whose `type` is a text, and foreign text."""
    text = line.decode(errors="replace")
    begin, end = _after_blanks(text, 0), len(text.rstrip(_BLANK))
    if begin >= end:
        return [Foreign("control characters", text)] if text.strip() else []
    text = text[:end]
    try:
        value, stop = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        pass
    else:
        if stop == end and not isinstance(value, dict):
            return [Foreign(_kind_of(value), text[begin:])]
    return list(_Search(text, begin).parts())


class _Search:
    """One search through a line; bounded, since an agent may print a line that is slow to read."""

    def __init__(self, text: str, begin: int) -> None:
        self._text = text
        self._rest = begin
        self._tries = _TRIES
        self._characters_left = _READINGS * len(text)
        self._is_damaged = False

    def parts(self) -> Iterator[dict[str, Any] | Foreign]:
        text, at = self._text, self._rest
        while found := self._next(at):
            begin, (value, end) = found
            behind = _after_blanks(text, end)
            if begin > self._rest and text[behind : behind + 1] in _GOES_ON and behind < len(text):
                at = end  # a part of something that cannot be read
                continue
            if begin > self._rest:
                yield self._foreign(begin)
            is_event = isinstance(value.get("type"), str)
            yield value if is_event else Foreign("an object without a type", text[begin:end])
            self._rest = at = behind
            self._is_damaged = False
        if self._rest < len(text):
            yield self._foreign(len(text))

    def _foreign(self, end: int) -> Foreign:
        text = self._text[self._rest : end].strip(_BLANK)
        may_go_on = text == "{" or (self._is_damaged and text.startswith("{"))
        is_open = may_go_on and end == len(self._text)
        kind = "a damaged event" if self._is_damaged else ""
        return Foreign(kind, text, is_open=is_open, is_damaged=self._is_damaged)

    def _next(self, at: int) -> tuple[int, tuple[dict[str, Any], int]] | None:
        """Return the start of the next readable object, the object, and its end."""
        while self._tries > 0 and self._characters_left > 0:
            found = _BEGINNING.search(self._text, at)
            if found is None:
                return None
            begin = found.start()
            self._tries -= 1
            try:
                read = _object_at(self._text, begin)
            except json.JSONDecodeError as error:
                self._is_damaged = True
                self._characters_left -= error.pos - begin + 1
                is_at_end = error.pos >= len(self._text) - 1
                at = begin + 1 if is_at_end else max(begin + 1, error.pos - _LOOK_BACK)
                continue
            self._characters_left -= read[1] - begin
            return begin, read
        return None


def _object_at(text: str, begin: int) -> tuple[dict[str, Any], int]:
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except RecursionError:
        flat, end = _flattened(text, begin)
        value, _ = _DECODER.raw_decode(flat)
    return value, end


def _flattened(text: str, begin: int) -> tuple[str, int]:
    """Return an object without the values that are nested too deep, and the position of its end."""
    kept: list[str] = []
    depth, copied = 0, begin
    for token in _TOKENS.finditer(text, begin):
        sign = token[0]
        if sign in "{[":
            depth += 1
            if depth == DEEPEST:
                kept.append(f"{text[copied : token.start()]}null")
        elif sign in "}]":
            if depth == DEEPEST:
                copied = token.end()
            depth -= 1
            if depth == 0:
                return "".join((*kept, text[copied : token.end()])), token.end()
    msg = "not closed"
    raise json.JSONDecodeError(msg, text, len(text))


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _kind_of(value: object) -> str:
    return "a JSON null" if value is None else _KINDS.get(type(value), "a JSON number")
