"""Counts the log lines that could not be stored, and reports their number in the log."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.models import LogLine


@dataclass
class DroppedLines:
    """The lines of one agent that Valkey had no space for."""

    _count: int = 0
    #: How many of them the last lines reported.
    _reported: int = 0

    def report(self, lines: list[LogLine]) -> list[LogLine]:
        """Return the lines to store next; the first says how many before it were dropped."""
        self._reported = 0
        if not lines or not self._count:
            return lines
        text = f"{self._count} lines before this one were not stored: Valkey had no space"
        self._reported, self._count = self._count, 0
        return [LogLine(at=lines[0].at, source="orchestrator", text=text), *lines]

    def add(self, count: int) -> None:
        """Count lines that could not be stored; the line with the number is none of them."""
        self._count += count - bool(self._reported) + self._reported
