"""Counts an agent's tokens once per message."""

from __future__ import annotations

from threading import Lock

from orchestrator.interfaces.agent import (
    UsageReport,
)
from orchestrator.models import Usage

_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class UsageMeter:
    """Counts tokens once per message id: reports of one id repeat and grow, they do not add.

    Any thread may report.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_message: dict[str, Usage] = {}
        self._sums = dict.fromkeys(_COUNTS, 0)
        self.cost_usd: float | None = None

    def add(self, report: UsageReport) -> None:
        """Take in a report; of each count the largest seen for its message is kept."""
        with self._lock:
            seen = self._by_message.get(report.message_id, Usage())
            largest = {
                name: max(getattr(seen, name), getattr(report.usage, name)) for name in _COUNTS
            }
            for name, count in largest.items():
                self._sums[name] += count - getattr(seen, name)
            self._by_message[report.message_id] = Usage(**largest)

    @property
    def messages(self) -> int:
        """How many messages were told of."""
        return len(self._by_message)

    @property
    def total(self) -> Usage:
        """The sum over all messages."""
        with self._lock:
            sums = dict(self._sums)
        return Usage(**sums, total_tokens=sum(sums.values()), cost_usd=self.cost_usd)
