"""Agents of one worker on a clock that the test moves, and the sweep that watches them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.messages import queue_key
from orchestrator.store import agents

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def new_id():
    numbers = iter(range(1, 100_000))
    return lambda: f"id-{next(numbers)}"


@pytest.fixture
def holder(store, clock, new_id):
    return AgentLeases(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)


@pytest.fixture
def monitor(holder):
    return Rescuer(holder, retention_s=3600)


@pytest.fixture
def spawn(store, clock, new_id):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    return lambda **changes: store.run(door.submit({**BODY, **changes})).agent_id


def take_messages(client) -> list[str]:
    """Take every message out of our queues, as a worker that dies with them would."""
    taken = []
    for queue in ("spawn", "gates", "cleanup"):
        for priority in range(1, 11):
            while message := client.rpop(queue_key(queue, priority)):
                taken.append(json.loads(message)["headers"]["id"])
    return taken


def state(store, agent_id):
    return store.run(agents.read(agent_id))


def running(holder, store, agent_id):
    agent = holder.claim(agent_id)
    return holder.start(agent, base_commit="abc")
