"""The count of an agent's tokens, once for each message of its model, in bounded memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

from orchestrator.interfaces.agent import UsageReport
from orchestrator.models import Usage

#: The newest so many messages are remembered; reports of one message arrive close together.
MOST_MESSAGES = 4096
_ID_CHARACTERS = 128
_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class UsageMeter:
    """Counts tokens once for each message id; the largest report of an id counts. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_message: OrderedDict[str, Usage] = OrderedDict()
        self._sums = dict.fromkeys(_COUNTS, 0)
        self._messages = 0
        self.cost_usd: float | None = None
        #: The largest number of tokens of one message.
        self.largest = 0

    def add(self, report: UsageReport) -> None:
        """Add a report; for each kind of token the largest number of its message counts."""
        key = _key(report.message_id)
        with self._lock:
            seen = self._by_message.pop(key, None)
            if seen is None:
                self._messages += 1
                seen = Usage()
            largest = {
                name: max(getattr(seen, name), getattr(report.usage, name)) for name in _COUNTS
            }
            for name, count in largest.items():
                self._sums[name] += count - getattr(seen, name)
            self.largest = max(self.largest, sum(largest.values()))
            self._by_message[key] = Usage(**largest)
            if len(self._by_message) > MOST_MESSAGES:
                self._by_message.popitem(last=False)

    def growth(self, report: UsageReport) -> int:
        """Return by how many tokens this report would increase the sum."""
        with self._lock:
            seen = self._by_message.get(_key(report.message_id), Usage())
        more = (getattr(report.usage, name) - getattr(seen, name) for name in _COUNTS)
        return sum(max(count, 0) for count in more)

    @property
    def messages(self) -> int:
        """The number of reported messages."""
        return self._messages

    @property
    def total(self) -> Usage:
        """The sum over all messages."""
        with self._lock:
            sums = dict(self._sums)
        return Usage(**sums, total_tokens=sum(sums.values()), cost_usd=self.cost_usd)


def _key(message_id: str) -> str:
    if len(message_id) <= _ID_CHARACTERS:
        return message_id
    return hashlib.sha256(message_id.encode(errors="replace")).hexdigest()
