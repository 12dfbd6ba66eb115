"""Agents, the hands of workers on them, a broker and a remote, on a real Valkey."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from hypothesis.strategies import DataObject, data, sampled_from

from orchestrator.control.submit import SubmitService
from orchestrator.errors import GitTimedOut, OrchestratorError, WorkerStopping
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.deadlines import DeadlineThread
from orchestrator.leases.lease import _USABLE, Lease
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.messages import QUEUES, queue_key
from orchestrator.models import AgentState, Phase, Status
from orchestrator.store import agent_transitions, changes, halt, keys
from orchestrator.store import leases as stored_leases
from orchestrator.store.client import Store

LEASE_S = 30.0
MOST_AGENTS, MOST_HANDS = 2, 3
PRIORITY = 5


@dataclass
class Hands:
    """One worker's hands on an agent: what it knows, by its own clock."""

    holder: AgentLeases
    agent: AgentState
    lease: Lease
    renewed_at: datetime
    at: str
    replaces: str = ""

    @property
    def works(self) -> bool:
        """Whether it has not let go of the agent itself."""
        return self.at != "let go"


class View(NamedTuple):
    """What stands in Valkey at one instant."""

    records: Mapping[str, AgentState]
    leases: Mapping[str, float]
    delayed: Mapping[str, float]
    indexes: Mapping[Status, frozenset[str]]
    messages: frozenset[str]


class Fleet(RuleBasedStateMachine):
    """Agents, the workers' hands on them, a broker and a remote that everything may happen to."""

    def __init__(self, store: Store, client: Any) -> None:
        super().__init__()
        client.flushall()
        self.store, self.client = store, client
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        numbers = count()
        self.new_id = lambda: f"id-{next(numbers)}"
        self.monitor = Rescuer(self.new_holder(), retention_s=1e9)
        self.hands: list[Hands] = []
        self.owners: dict[str, Hands | None] = {}
        self.remote: dict[str, str] = {}
        self.flying: list[tuple[str, str, str]] = []
        self.found: list[tuple[AgentState, int]] = []
        self.ended: dict[str, Status] = {}
        self.broken: set[str] = set()

    def clock(self) -> datetime:
        return self.at

    def new_holder(self) -> AgentLeases:
        deadlines = DeadlineThread(lambda: self.at.timestamp())  # noqa: PLW0108 - it moves
        return AgentLeases(
            *(self.store, self.clock, self.new_id, "w@here"),
            lease_s=LEASE_S,
            process="1:1",
            deadlines=deadlines,
        )

    def view(self) -> View:
        pipe = self.client.pipeline()
        for name in (keys.LEASES, keys.DELAYED, *map(keys.status_index, Status)):
            pipe.zrange(name, 0, -1, withscores=True)
        for queue in QUEUES:
            pipe.lrange(queue_key(queue, PRIORITY), 0, -1)
        for agent_id in self.owners:
            pipe.get(keys.agent(agent_id))
        leases, delayed, *rest = pipe.execute()
        sets, lists, records = rest[:5], rest[5:8], rest[8:]
        return View(
            dict(zip(self.owners, map(AgentState.model_validate_json, records), strict=True)),
            dict(leases),
            dict(delayed),
            {s: frozenset(dict(found)) for s, found in zip(Status, sets, strict=True)},
            frozenset(json.loads(m)["headers"]["id"] for found in lists for m in found),
        )

    @initialize(steps=sampled_from(range(6)))
    def first(self, steps: int) -> None:
        """Begin anywhere on the straight way: most of what may go wrong is far along it."""
        self.spawn()
        for _ in range(steps):
            working = [hands for hands in self.hands if hands.works]
            for name in [] if working else self.any_message():
                self.take(self.client.rpop(name))
            for hands in working:
                self.go_on(hands)

    @precondition(lambda self: len(self.owners) < MOST_AGENTS)
    @rule()
    def spawn(self) -> None:
        context = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
        door = SubmitService("scripted", frozenset({"scripted"}), self.clock, self.new_id)
        body = {"taskId": self.new_id(), "agentType": "worker", "context": context, "maxRetries": 1}
        try:
            self.owners[self.store.run(door.submit(body)).agent_id] = None
        except OrchestratorError:
            assert self.store.run(halt.find_halt()) is not None

    # The broker.

    @precondition(lambda self: self.any_message())
    @rule(data=data())
    def message(self, data: DataObject, fate: str = "taken") -> None:
        key = data.draw(sampled_from(self.any_message()))
        document = self.client.lindex(key, -1)
        if fate != "twice":
            self.client.rpop(key)
        if fate != "lost" and len(self.hands) < MOST_HANDS:
            self.take(document, forgets=fate == "no reply")

    @precondition(lambda self: self.any_message())
    @rule(data=data(), fate=sampled_from(["twice", "lost", "no reply"]))
    def message_goes_astray(self, data: DataObject, fate: str) -> None:
        self.message(data, fate)

    def any_message(self) -> list[str]:
        names = [queue_key(queue, PRIORITY) for queue in ("spawn", "gates")]
        return [name for name in names if self.client.exists(name)]

    def take(self, document: bytes, *, forgets: bool = False) -> Hands | None:
        agent_id, _, attempt = json.loads(document)["headers"]["id"].partition(".gate_check.")
        before = self.view().records[agent_id]
        holder = self.new_holder()
        agent = (
            holder.claim_for_gates(agent_id, int(attempt)) if attempt else holder.claim(agent_id)
        )
        if agent is None:
            return None
        if before.status is Status.KILLED:
            self.broken.add("a_killed_agent_is_never_claimed")
        self.owners[agent_id] = None
        if forgets:
            return None
        lease = Lease(self.store, agent, holder.deadlines, lease_s=LEASE_S, clock=self.clock)
        holder.held[agent_id] = lease
        hands = Hands(holder, agent, lease, self.at, "gating" if attempt else "preparing")
        self.hands.append(hands)
        self.owners[agent_id] = hands
        return hands

    # The workers; what they do is written as `Holder.holding` writes it.

    @contextmanager
    def working(self, hands: Hands) -> Iterator[None]:
        agent_id = hands.agent.agent_id
        before, owns = self.view(), self.owners[agent_id] is hands
        self.hands.remove(hands)
        with hands.holder._ending(hands.agent, hands.lease):
            yield
            if hands.at != "done":
                self.hands.append(hands)
        after = self.view()
        if not owns and self.facts(before, agent_id) != self.facts(after, agent_id):
            self.broken.add("a_stale_attempt_writes_nothing")
        if owns and (hands not in self.hands or not hands.works):
            self.owners[agent_id] = None

    def facts(self, view: View, agent_id: str) -> tuple[object, ...]:
        return view.records[agent_id], view.leases.get(agent_id), view.delayed.get(agent_id)

    @precondition(lambda self: self.hands)
    @rule(data=data(), steps=sampled_from([1, 2, 3]), approved=sampled_from([True, True, False]))
    def work(self, data: DataObject, steps: int, *, approved: bool) -> None:
        hands = data.draw(sampled_from(self.hands))
        for _ in range(steps):
            if hands in self.hands and hands.works:
                self.go_on(hands, approved=approved)

    def go_on(self, hands: Hands, *, approved: bool = True) -> None:
        holder, agent, at = hands.holder, hands.agent, hands.at
        with self.working(hands):
            if at == "preparing":
                hands.agent = holder.start(agent, base_commit="abc")
                hands.renewed_at = self.at
                hands.at = "executing"
            elif at == "executing":
                hands.at = "let go"
                holder.enqueue_for_gates(agent, {}, b"change")
            elif at == "gating" and not approved and agent.rounds < agent.max_retries:
                hands.at = "let go"
                holder.request_rework(agent, {})
            elif at == "gating":
                commit, hands.replaces = f"commit-{agent.attempt}", agent.pushing or ""
                hands.agent = holder.update(agent, {"phase": Phase.DELIVERING, "pushing": commit})
                hands.at = "delivering"
                self.flying.append((agent.agent_id, commit, ""))
            elif at == "delivering":
                self.deliver(hands)

    def deliver(self, hands: Hands) -> None:
        agent_id, commit = hands.agent.agent_id, hands.agent.pushing or ""
        if any(flight[:2] == (agent_id, commit) for flight in self.flying):
            return
        found = self.remote.get(agent_id, "")
        if found == commit:
            hands.at = "done"
            hands.holder.complete(hands.agent, {"commit": commit})
        elif found in {"", hands.replaces}:
            self.flying.append((agent_id, commit, found))
        else:
            msg = f"the branch holds {found}"
            raise OrchestratorError(msg)

    @precondition(lambda self: self.flying)
    @rule(data=data(), is_lost=sampled_from([False, False, True]))
    def push_lands(self, data: DataObject, *, is_lost: bool) -> None:
        flight = data.draw(sampled_from(self.flying))
        self.flying.remove(flight)
        agent_id, commit, replaces = flight
        if not is_lost and self.remote.get(agent_id, "") == replaces:
            self.remote[agent_id] = commit

    @precondition(lambda self: self.hands)
    @rule(
        data=data(), error=sampled_from([GitTimedOut, WorkerStopping, OrchestratorError, OSError])
    )
    def error(self, data: DataObject, error: type[Exception]) -> None:
        hands = data.draw(sampled_from(self.hands))
        with self.working(hands):
            raise error

    @precondition(lambda self: any(not hands.works for hands in self.hands))
    @rule(data=data())
    def reply_was_lost(self, data: DataObject) -> None:
        """What the driver sends again after a lost reply comes late, from a worker that waits."""
        hands = data.draw(sampled_from([hands for hands in self.hands if not hands.works]))
        step = (
            agent_transitions.enqueue_for_gates
            if hands.agent.phase is Phase.EXECUTING
            else agent_transitions.request_rework
        )
        hands.lease.is_released = False
        with self.working(hands):
            put = changes.put_change(hands.agent.agent_id, hands.agent.attempt, b"change")
            self.store.follow(put)
            self.store.run(step(hands.agent, {}, now=self.at, tag=self.new_id()))

    @precondition(lambda self: self.hands)
    @rule(data=data())
    def worker_dies(self, data: DataObject) -> None:
        self.drop(data.draw(sampled_from(self.hands)))

    @precondition(lambda self: self.hands)
    @rule(data=data())
    def heartbeat(self, data: DataObject) -> None:
        self.renew(data.draw(sampled_from(self.hands)))

    def renew(self, hands: Hands) -> None:
        answer = self.store.run(stored_leases.heartbeat(hands.agent, lease_s=LEASE_S, now=self.at))
        if answer == "held":
            # Whose programs its shim has ended is not brought back to life.
            hands.renewed_at = self.at if self.lives(hands) else hands.renewed_at
        elif hands.works:
            self.drop(hands)

    def drop(self, hands: Hands) -> None:
        self.hands.remove(hands)
        if self.owners[hands.agent.agent_id] is hands:
            self.owners[hands.agent.agent_id] = None

    def lives(self, hands: Hands) -> bool:
        return (self.at - hands.renewed_at).total_seconds() <= LEASE_S * _USABLE
