"""Agents of a system with small limits, on a clock that the test moves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from orchestrator.agent_output.reader import OutputReader
from orchestrator.control.budget import BudgetService
from orchestrator.control.submit import SubmitService
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.messages import queue_key
from orchestrator.models import Usage
from orchestrator.queries.budget import summary
from orchestrator.settings import load_settings
from orchestrator.settings.prices import price_table
from orchestrator.stages.spawn.model_requests import ModelRequests
from orchestrator.stages.spawn.monitors.tokens import TokenMonitor
from orchestrator.store.budget import publish
from orchestrator.store.events import read_events
from orchestrator.wiring import audit

LIMITS = {
    "BUDGET_DAILY_TOKENS": "1000",
    "BUDGET_PER_AGENT_TOKENS": "500",
    "BUDGET_RESERVATION": "100",
    "MAX_CONCURRENT_AGENTS": "2",
}


class Fleet:
    """A fleet whose clock is moved by hand, and which was told its limits."""

    def __init__(self, store, home, **limits: str) -> None:
        self.store = store
        self.at = datetime(2026, 1, 1, 12, tzinfo=UTC)
        numbers = iter(range(100_000))
        self.new_id = lambda: f"id-{next(numbers)}"
        self.settings = load_settings({**LIMITS, "ORCHESTRATOR_HOME": str(home), **limits})
        self.door = SubmitService("scripted", frozenset({"scripted"}), lambda: self.at, self.new_id)
        self.holder = AgentLeases(
            store, lambda: self.at, self.new_id, worker="w@here", process="1:1", lease_s=30
        )
        self.monitor = Rescuer(self.holder, retention_s=1e6)
        self.budget = BudgetService(self.settings, lambda: self.at, audit(self.settings).append)
        store.run(publish(self.settings))

    def spawn(self, agent_id: str = "", **changes: object) -> str:
        context = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
        body = {"taskId": "t", "agentType": "worker", "context": context, **changes}
        self.at += timedelta(milliseconds=1)
        return self.store.run(self.door.submit(body, agent_id=agent_id)).agent_id

    def running(self, **changes: object):
        return self.holder.start(self.holder.claim(self.spawn(**changes)), base_commit="abc")

    def spend(self, agent, tokens: int, cost_usd: float | None = None) -> str:
        usage = Usage(input_tokens=tokens, total_tokens=tokens, cost_usd=cost_usd)
        return self.holder.charge(agent, {"usage": usage.wire()})

    def summary(self):
        return self.store.follow(summary(self.settings, self.at))

    def counts(self) -> tuple[int, int]:
        found = self.summary()
        return found.used, found.reserved

    def events(self, *kinds: str):
        reported = [entry.event for entry in self.store.run(read_events(after="0-0"))]
        return [event for event in reported if event.type in kinds]


class Metered:
    """What meters one agent behind a proxy: its requests, its reader and its monitor."""

    def __init__(self, fleet: Fleet) -> None:
        prices = price_table(fleet.settings.prices)
        self.agent, self.lease = fleet.running(), SimpleNamespace(overrun="")
        self.requests = ModelRequests(fleet.holder, self.agent, fleet.new_id(), prices)
        self.reader = OutputReader(
            SimpleNamespace(signals=lambda _line: ()), clock=lambda: fleet.at, secrets=(),
            line_limit_bytes=2**20, price_of=prices.of,
        )  # fmt: skip
        self.monitor = TokenMonitor(
            fleet.holder, fleet.settings, self.agent, self.lease, self.reader, self.facts,
            reports_usage=False, requests=self.requests,
        )  # fmt: skip

    def facts(self) -> dict[str, object]:
        return {"usage": self.reader.spent.wire()}


@pytest.fixture
def fleet(store, tmp_path):
    return Fleet(store, tmp_path)


def queued(client) -> list[str]:
    """Take every spawn message, the most urgent first."""
    taken = []
    for priority in range(10, 0, -1):
        while message := client.rpop(queue_key("spawn", priority)):
            taken.append(json.loads(message)["headers"]["id"])
    return taken
