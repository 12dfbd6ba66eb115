"""The activity of an agent, measured by its output, tokens and processor time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: Less processor time than this between two checks is no activity: the process only polls.
_WORK_CPU_S = 0.05


@dataclass
class Activity:
    """The time of an agent's last activity; processor time of a child process counts too."""

    clock: Callable[[], float]
    _seen: tuple[int, int] = (0, 0)
    _cpu_s: float = 0.0
    _moved_at_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Count the present instant as the first activity."""
        self._moved_at_s = self.clock()

    def record(self, *, output: int, tokens: int, cpu_s: float) -> None:
        """Record the totals so far: bytes of output, tokens, seconds of live processes."""
        # Processor time falls when a child process ends, and that is activity too.
        if (output, tokens) != self._seen or abs(cpu_s - self._cpu_s) >= _WORK_CPU_S:
            self._moved_at_s = self.clock()
            self._seen, self._cpu_s = (output, tokens), cpu_s

    def still_for_s(self) -> float:
        """Return the seconds since the last activity."""
        return self.clock() - self._moved_at_s
