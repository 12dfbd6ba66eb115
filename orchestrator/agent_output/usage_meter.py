"""The count of an agent's tokens and their cost, once for each message, in bounded memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock

from orchestrator.interfaces.agent import UsageReport
from orchestrator.models import Usage
from orchestrator.models.usage import COST_DIGITS
from orchestrator.settings.prices import Price

#: The newest so many messages are remembered; reports of one message arrive close together.
MOST_MESSAGES = 4096
#: Tokens of further models count as those of reports that name no model.
_MOST_MODELS = 100
_ID_CHARACTERS = 128
_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def no_price(_model: str) -> Price | None:
    """Return None, as a table without entries."""
    return None


class UsageMeter:
    """Counts tokens once for each message id; the largest report of an id counts. Thread-safe."""

    def __init__(self, price_of: Callable[[str], Price | None] = no_price) -> None:
        #: Returns for an empty name the price of reports that name no model.
        self._price_of = price_of
        self._lock = Lock()
        self._by_message: OrderedDict[str, tuple[str, Usage]] = OrderedDict()
        self._by_model: dict[str, dict[str, int]] = {}
        self._messages = 0
        #: The dollars that the agent's program reports.
        self.client_cost_usd: float | None = None
        #: The largest number of tokens of one message.
        self.largest = 0

    def add(self, report: UsageReport) -> None:
        """Add a report; for each kind of token the largest number of its message counts.

        Of two models that reports of one message name, the one with the higher price counts.
        """
        key = _key(report.message_id)
        with self._lock:
            before = self._by_message.pop(key, None)
            self._messages += before is None
            model, seen = before or (report.model, Usage())
            if before:
                self._count(model, seen, -1)
                model = self._dearer(model, report.model)
            largest = Usage(
                **{name: max(getattr(seen, name), getattr(report.usage, name)) for name in _COUNTS}
            )
            self._count(model, largest)
            self.largest = max(self.largest, sum(getattr(largest, name) for name in _COUNTS))
            self._by_message[key] = (model, largest)
            if len(self._by_message) > MOST_MESSAGES:
                self._by_message.popitem(last=False)

    def growth(self, report: UsageReport) -> int:
        """Return by how many tokens this report would increase the sum."""
        with self._lock:
            _, seen = self._by_message.get(_key(report.message_id), ("", Usage()))
        more = (getattr(report.usage, name) - getattr(seen, name) for name in _COUNTS)
        return sum(max(count, 0) for count in more)

    @property
    def messages(self) -> int:
        """The number of reported messages."""
        return self._messages

    @property
    def total(self) -> Usage:
        """The sum over all messages, and its cost."""
        with self._lock:
            by_model = {model: dict(sums) for model, sums in self._by_model.items()}
        sums = {name: sum(one[name] for one in by_model.values()) for name in _COUNTS}
        costs = [
            price.cost_usd(**one)
            for model, one in by_model.items()
            if any(one.values()) and (price := self._price_of(model))
        ]
        return Usage(
            **sums,
            total_tokens=sum(sums.values()),
            cost_usd=round(sum(costs), COST_DIGITS) if costs else None,
            client_cost_usd=self.client_cost_usd,
        )

    @property
    def unpriced(self) -> frozenset[str]:
        """The models with tokens and without a price; a model without a name is empty."""
        with self._lock:
            used = [model for model, sums in self._by_model.items() if any(sums.values())]
        return frozenset(model for model in used if self._price_of(model) is None)

    def _count(self, model: str, usage: Usage, sign: int = 1) -> None:
        is_further = model not in self._by_model and len(self._by_model) >= _MOST_MODELS
        sums = self._by_model.setdefault("" if is_further else model, dict.fromkeys(_COUNTS, 0))
        for name in _COUNTS:
            sums[name] += sign * getattr(usage, name)

    def _dearer(self, one: str, other: str) -> str:
        prices: Mapping[str, Price | None] = {name: self._price_of(name) for name in (one, other)}

        def rank(name: str) -> tuple[float, bool]:
            price = prices[name]
            return (price.output if price else -1.0, bool(name))

        return max((one, other), key=rank)


def _key(message_id: str) -> str:
    if len(message_id) <= _ID_CHARACTERS:
        return message_id
    return hashlib.sha256(message_id.encode(errors="replace")).hexdigest()
