"""Other readings of a text: lines with replaced parts, and the origin of each byte."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

#: The bytes of the line around a replaced part that are read.
_AROUND_BYTES = 4096


class Edit(NamedTuple):
    """A part of a text that is read as other text; it never becomes longer."""

    start: int
    end: int
    replacement: bytes = b""


class View:
    """The lines of a text that have edits, with the edits applied.

    A view is longer than its text by at most one byte a line, because it contains each line once.
    """

    def __init__(self, text: bytes, edits: Iterable[Edit]) -> None:
        #: The position of each piece in the view, and its first and last byte in the text.
        self._starts, self._origins, self._ends = array("Q"), array("Q"), array("Q")
        self._pieces: list[bytes] = []
        self._size = 0
        self._build(text, edits)
        self.text = b"".join(self._pieces)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of the text from which bytes `start` to `end` of the view come."""
        return self._position(start)[0], self._position(end - 1)[1]

    def _position(self, position: int) -> tuple[int, int]:
        piece = bisect_right(self._starts, position) - 1
        first, last = self._origins[piece], self._ends[piece]
        if len(self._pieces[piece]) == last - first:
            first += position - self._starts[piece]
            last = first + 1
        return first, last

    def _build(self, text: bytes, edits: Iterable[Edit]) -> None:
        resume, tail = 0, -1
        for edit in edits:
            if edit.start > tail:
                self._copy(text, resume, tail)
                low = max(tail, edit.start - _AROUND_BYTES, 0)
                resume = max(low, text.rfind(b"\n", low, edit.start) + 1)
                if tail >= 0 and text[tail - 1 : tail] != b"\n":
                    # Two truncated lines are not one line.
                    self._add(b"\n", tail, tail)
            self._copy(text, resume, edit.start)
            self._add(edit.replacement, edit.start, edit.end)
            resume = edit.end
            newline = text.find(b"\n", resume, resume + _AROUND_BYTES)
            tail = newline + 1 if newline >= 0 else min(len(text), resume + _AROUND_BYTES)
        self._copy(text, resume, tail)

    def _copy(self, text: bytes, start: int, end: int) -> None:
        if end > start:
            self._add(text[start:end], start, end)

    def _add(self, piece: bytes, start: int, end: int) -> None:
        if piece:
            self._starts.append(self._size)
            self._origins.append(start)
            self._ends.append(end)
            self._pieces.append(piece)
            self._size += len(piece)
