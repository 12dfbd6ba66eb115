"""Counts an agent's tokens, once per message of its model; bounded in memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

from orchestrator.interfaces.agent import UsageReport
from orchestrator.models import Usage

#: Reports of one message follow each other closely; of so many messages the newest are remembered.
MOST_MESSAGES = 4096
_ID_CHARACTERS = 128
_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class UsageMeter:
    """Counts tokens once per message id: reports of one id repeat and grow, they do not add.

    Any thread may report.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_message: OrderedDict[str, Usage] = OrderedDict()
        self._sums = dict.fromkeys(_COUNTS, 0)
        self._messages = 0
        self.cost_usd: float | None = None
        #: The most that one message has come to.
        self.largest = 0

    def add(self, report: UsageReport) -> None:
        """Take in a report; of each count the largest seen for its message is kept."""
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

    @property
    def messages(self) -> int:
        """How many messages were told of."""
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
