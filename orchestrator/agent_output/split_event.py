"""The lines of an event that a program prints on several lines, in bounded memory."""

from __future__ import annotations

#: An event on several lines is joined up to so many lines, bytes and tries.
JOINED_LINES, JOINED_BYTES, _JOINED_TRIES = 200, 256 * 1024, 16


class SplitEvent:
    """The lines of an event that continues after its first line; tries are limited."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._size = 0
        self._tries = 0

    def begin(self, line: bytes) -> None:
        """Begin with the first line of an event."""
        self.lines.append(line)
        self._size, self._tries = len(line), _JOINED_TRIES

    def add(self, line: bytes) -> bool:
        """Add a line; return False if a limit is exceeded, so that the lines are no event."""
        self._size += len(line)
        if self._size > JOINED_BYTES or len(self.lines) >= JOINED_LINES or not self._tries:
            return False
        self.lines.append(line)
        return True

    def may_end_with(self, line: bytes) -> bool:
        """Return whether the lines may be a complete event, and count the try."""
        if not line.rstrip().endswith(b"}"):
            return False
        self._tries -= 1
        return True
