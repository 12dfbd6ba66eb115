"""Tells an agent that works from one that is stuck: output, tokens and processor time together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: Less processor time than this is a process that only wakes up to look.
_WORK_CPU_S = 0.05


@dataclass
class Activity:
    """When an agent last got anywhere; no output while a child of it computes is no stall."""

    clock: Callable[[], float]
    _seen: tuple[int, int] = (0, 0)
    _cpu_s: float = 0.0
    _moved_at_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin now."""
        self._moved_at_s = self.clock()

    def record(self, *, output: int, tokens: int, cpu_s: float) -> None:
        """Take in what has been said and spent so far, by all processes that live."""
        # Less than before: some have ended, which is getting somewhere too.
        if (output, tokens) != self._seen or abs(cpu_s - self._cpu_s) >= _WORK_CPU_S:
            self._moved_at_s = self.clock()
            self._seen, self._cpu_s = (output, tokens), cpu_s

    def still_for_s(self) -> float:
        """Return for how long nothing has moved."""
        return self.clock() - self._moved_at_s
