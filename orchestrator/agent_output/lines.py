"""The split of a byte stream into lines; a line over the limit keeps only its two ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: The lengths of the two ends of a line over the limit. The log shows the head. The tail is
#: searched for events, which may follow output without a newline.
HEAD_BYTES = 4096
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Line:
    """One line without its newline."""

    content: bytes
    #: The last bytes of a line over the limit, whose first bytes are in `content`.
    tail: bytes = b""
    #: The length of the whole line in bytes.
    size: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether the line was over the limit."""
        return bool(self.tail)


class LineSplitter:
    """Splits the bytes of one source into lines; buffers at most the limit and one chunk."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held = bytearray()
        self._tail = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Line]:
        """Add bytes, and yield the lines that they complete."""
        begin = 0
        while (end := data.find(b"\n", begin)) >= 0:
            self._add(data[begin:end])
            yield self._claim()
            begin = end + 1
        self._add(data[begin:])

    def finish(self) -> Iterator[Line]:
        """Yield the bytes after the last newline as a line, if there are any."""
        if self._size:
            yield self._claim()

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._tail:
            self._tail += part
            # The tail is cut only at twice its length, because each cut moves the bytes.
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
