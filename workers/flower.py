"""Changes Flower: one row per priority of a queue, and a login for every page.

Flower's own broker page adds up the ten lists of a queue, and its /metrics requires no login.
"""

from __future__ import annotations

from typing import Any

from flower.urls import handlers
from flower.views.broker import BrokerView
from flower.views.monitor import Metrics
from tornado import web
from tornado.routing import URLSpec

from orchestrator.messages import LEAST_URGENT, MOST_URGENT, QUEUES, queue_key


class PrioritiesView(BrokerView):  # type: ignore[misc]  # Flower ships no types
    """The broker page: each queue, then each of its priorities, the most urgent first."""

    def get_broker(self) -> Any:
        """Return a broker that reads each list separately."""
        broker = super().get_broker()
        # Each requested name is then one list.
        broker.priority_steps = (0,)
        return _ByPriority(broker)


class PrivateMetrics(Metrics):  # type: ignore[misc]  # as above
    """Flower's metrics, for users who are logged in."""

    @web.authenticated
    async def get(self) -> None:
        """Respond as Flower does."""
        await super().get()


class _ByPriority:
    def __init__(self, broker: Any) -> None:
        self._broker = broker

    async def queues(self, _names: list[str]) -> list[dict[str, Any]]:
        # Not the queues that Flower saw workers serve: a queue without a worker matters most.
        priorities = range(MOST_URGENT, LEAST_URGENT - 1, -1)
        lists = [queue_key(name, priority) for name in QUEUES for priority in priorities]
        lengths = {found["name"]: found["messages"] for found in await self._broker.queues(lists)}
        rows: list[dict[str, Any]] = []
        for name in QUEUES:
            waiting = {priority: lengths[queue_key(name, priority)] for priority in priorities}
            rows.append({"name": name, "messages": sum(waiting.values())})
            rows += [
                {"name": f"{name}, priority {priority}", "messages": count}
                for priority, count in waiting.items()
            ]
        return rows


def install() -> None:
    """Replace Flower's pages by ours, before Flower builds its application."""
    ours = {BrokerView: PrioritiesView, Metrics: PrivateMetrics}
    for number, handler in enumerate(handlers):
        # As Flower's own code replaces them: a route is a tuple, or a named URLSpec.
        if not isinstance(handler, URLSpec):
            handlers[number] = (handler[0], ours.get(handler[1], handler[1]), *handler[2:])
        elif page := ours.get(handler.handler_class):
            handlers[number] = URLSpec(handler.regex, page, handler.kwargs, handler.name)
