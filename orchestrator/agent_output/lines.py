"""Cuts a stream of bytes into lines; of a line over the limit only its two ends are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Of a line over the limit: what is shown of its beginning, and what is searched for events that
#: stand behind whatever had no newline.
HEAD_BYTES = 4096
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Line:
    """One line without its newline."""

    content: bytes
    #: Its last bytes, where `content` is only the beginning.
    tail: bytes = b""
    #: How many bytes it had.
    size: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether a part of it was dropped."""
        return bool(self.tail)


class LineSplitter:
    """One source's bytes, as they come; holds at most the limit and one chunk."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held = bytearray()
        self._tail = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Line]:
        """Take in some bytes, and give the lines they end."""
        begin = 0
        while (end := data.find(b"\n", begin)) >= 0:
            self._add(data[begin:end])
            yield self._claim()
            begin = end + 1
        self._add(data[begin:])

    def finish(self) -> Iterator[Line]:
        """Give what stands behind the last newline, if anything does."""
        if self._size:
            yield self._claim()

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._tail:
            self._tail += part
            # Not at each chunk: moving the rest costs time.
            if len(self._tail) > 2 * TAIL_BYTES:
                del self._tail[:-TAIL_BYTES]
            return
        self._held += part
        if self._size > self._limit_bytes:
            self._tail += self._held[-TAIL_BYTES:]
            del self._held[HEAD_BYTES:]

    def _claim(self) -> Line:
        line = Line(bytes(self._held), bytes(self._tail[-TAIL_BYTES:]), self._size)
        self._held.clear()
        self._tail.clear()
        self._size = 0
        return line
