"""The budget on a real Valkey, in any order of spawns, usage, crashes, kills and midnights."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import DataObject, data, integers, sampled_from

from orchestrator.control.submit import SubmitService
from orchestrator.errors import BudgetExceeded, BudgetExhausted, TransitionRefused
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.messages import queue_key
from orchestrator.models import AgentState, Status, Usage, state_machine
from orchestrator.models.state_machine import ACTIVE, FINAL
from orchestrator.settings import load_settings
from orchestrator.store import agents, keys, kills, leases
from orchestrator.store.budget import day_sums, publish
from orchestrator.store.client import Store
from tests.model.seeded import seeded

DAILY, AGENT, RESERVATION, PLACES, MESSAGE = 1000, 450, 100, 2, 150
LEASE_S = 30.0
PRIORITIES = (1, 5, 10)


@dataclass
class Hands:
    """A worker's hands on an agent, and what that has told it to have spent."""

    agent: AgentState
    reported: int


class Fleet(RuleBasedStateMachine):
    """Agents that spend, workers that die, an operator who kills, and an account kept by hand."""

    def __init__(self, store: Store, client: Any) -> None:
        super().__init__()
        client.flushall()
        self.store, self.client = store, client
        self.at = datetime(2026, 1, 1, 22, tzinfo=UTC)
        numbers = count()
        self.new_id = lambda: f"id-{next(numbers)}"
        self.holder = AgentLeases(
            store, lambda: self.at, self.new_id, "w@here", lease_s=LEASE_S, process="1:1"
        )
        self.monitor = Rescuer(self.holder, retention_s=1e9)
        limits = {
            "BUDGET_DAILY_TOKENS": DAILY,
            "BUDGET_PER_AGENT_TOKENS": AGENT,
            "BUDGET_RESERVATION": RESERVATION,
            "MAX_CONCURRENT_AGENTS": PLACES,
        }
        store.run(publish(load_settings({name: str(n) for name, n in limits.items()})))
        self.hands: list[Hands] = []
        self.all: list[str] = []
        #: By the account kept here: the day's tokens, each agent's, and who crossed a limit today.
        self.used: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()
        self.crossed: set[tuple[str, str]] = set()

    @property
    def today(self) -> str:
        return keys.budget_day(self.at)

    def states(self) -> dict[str, AgentState]:
        return {agent_id: self.store.run(agents.read(agent_id)) for agent_id in self.all}

    # Who comes, and who takes them.

    @precondition(lambda self: len(self.all) < 14)
    @rule(priority=sampled_from(PRIORITIES), number=integers(1, 4))
    def spawn(self, priority: int, number: int) -> None:
        context = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
        body = {
            "taskId": "t", "agentType": "worker", "context": context, "priority": priority,
            "maxRetries": 2,
        }  # fmt: skip
        door = SubmitService("scripted", frozenset({"scripted"}), lambda: self.at, self.new_id)
        for _ in range(number):
            before = self.sums()
            try:
                self.all.append(self.store.run(door.submit(body)).agent_id)
            except BudgetExhausted:
                assert sum(before) + RESERVATION > DAILY
            else:
                assert sum(before) + RESERVATION <= DAILY

    def queued(self) -> list[str]:
        names = [queue_key(queue, one) for queue in ("spawn", "gates") for one in PRIORITIES]
        return [name for name in names if self.client.exists(name)]

    @precondition(lambda self: self.queued())
    @rule(data=data(), is_lost=sampled_from([False] * 7 + [True]))
    def message(self, data: DataObject, *, is_lost: bool) -> None:
        document = self.client.rpop(data.draw(sampled_from(self.queued())))
        if not is_lost:
            self.take(document)

    @precondition(lambda self: self.queued())
    @rule()
    def workers_take_all_there_is(self) -> None:
        for name in self.queued():
            while document := self.client.rpop(name):
                self.take(document)

    def take(self, document: str) -> None:
        agent_id, _, attempt = json.loads(document)["headers"]["id"].partition(".gate_check.")
        if attempt:
            agent = self.holder.claim_for_gates(agent_id, int(attempt))
            if agent is None:
                return
            if agent.rounds == 0 and len(self.all) % 2:
                self.holder.request_rework(agent, {})
            else:
                self.holder.complete(agent, {})
        elif agent := self.holder.claim(agent_id):
            agent = self.holder.start(agent, base_commit="abc")
            self.hands.append(Hands(agent, agent.usage.total_tokens))

    # What they spend.

    @precondition(lambda self: self.hands)
    @rule(
        data=data(), tokens=integers(0, MESSAGE), fate=sampled_from(["", "", "", "twice", "back"])
    )
    def spend(self, data: DataObject, tokens: int, fate: str) -> None:
        self.report(data.draw(sampled_from(self.hands)), tokens, fate)

    @precondition(lambda self: self.hands)
    @rule(tokens=integers(100, MESSAGE))
    def all_spend(self, tokens: int) -> None:
        for hands in list(self.hands):
            self.report(hands, tokens, "")

    def report(self, hands: Hands, tokens: int, fate: str) -> None:
        hands.reported += tokens
        reports = {
            "": [hands.reported],
            "twice": [hands.reported] * 2,
            "back": [hands.reported, 0],
        }[fate]
        try:
            for reported in reports:
                usage = Usage(input_tokens=reported, total_tokens=reported).wire()
                overrun = self.holder.charge(hands.agent, {"usage": usage})
                self.enter(hands.agent.agent_id, reported, overrun)
        except TransitionRefused:
            self.hands.remove(hands)
            return
        if overrun:
            self.end(hands)

    def enter(self, agent_id: str, reported: int, overrun: str) -> None:
        new = max(reported - self.spent[agent_id], 0)
        self.used[self.today] += new
        self.spent[agent_id] += new
        if overrun:
            self.crossed.add((self.today, agent_id))

    def end(self, hands: Hands) -> None:
        self.hands.remove(hands)
        self.holder.fail(hands.agent, BudgetExceeded())

    @precondition(lambda self: self.hands)
    @rule(data=data())
    def heartbeat(self, data: DataObject) -> None:
        hands = data.draw(sampled_from(self.hands))
        heartbeat = leases.heartbeat(hands.agent, lease_s=LEASE_S, now=self.at)
        answer, _, overrun = self.store.run(heartbeat).partition(" ")
        if answer != "held":
            self.hands.remove(hands)
        elif overrun:
            self.end(hands)

    # How they end.

    @precondition(lambda self: self.hands)
    @rule(data=data(), how=sampled_from(["hand over", "crash", "fail", "twice"]))
    def ends(self, data: DataObject, how: str) -> None:
        hands = data.draw(sampled_from(self.hands))
        self.hands.remove(hands)
        if how == "hand over":
            try:
                self.holder.enqueue_for_gates(hands.agent, {}, b"change")
            except TransitionRefused:
                return
        for _ in range({"fail": 1, "twice": 2}.get(how, 0)):
            self.holder.fail(hands.agent, BudgetExceeded())

    @precondition(lambda self: self.all)
    @rule(data=data(), number=integers(1, 3))
    def kill(self, data: DataObject, number: int) -> None:
        some = {data.draw(sampled_from(self.all)) for _ in range(number)}
        targets = [self.store.run(agents.read(agent_id)) for agent_id in sorted(some)]
        order = kills.KillOrder("me", "why")
        tags = [self.new_id() for _ in targets]
        self.store.run(kills.kill(targets, order, now=self.at, tags=tags))

    @rule(seconds=sampled_from([1, LEASE_S + 1, 3600]))
    def sweep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.monitor.sweep()

    @rule()
    def midnight(self) -> None:
        """Whoever runs goes on, and spends of the new day."""
        self.at = self.at.replace(hour=0, minute=0, second=1) + timedelta(days=1)
        for hands in self.hands:
            heartbeat = leases.heartbeat(hands.agent, lease_s=LEASE_S, now=self.at)
            self.store.run(heartbeat)

    # What is held.

    def sums(self) -> tuple[int, int]:
        used = int(self.client.hget(self.today, "used") or 0)
        return used, int(self.client.hget(keys.RESERVED, "*") or 0)

    @invariant()
    def tokens(self) -> None:
        states = self.states()
        used, reserved = self.sums()
        assert used == self.used[self.today], "each token counts once, on the day it is spent"
        assert {a: s.usage.total_tokens for a, s in states.items()} == dict.fromkeys(
            self.all, 0
        ) | {a: n for a, n in self.spent.items() if n}
        held = {a: int(n) for a, n in self.client.hgetall(keys.RESERVED).items() if a != "*"}
        assert held == {
            agent_id: max(RESERVATION - self.spent[agent_id], 0)
            for agent_id, state in states.items()
            if state.status in ACTIVE
        }, "each reservation is there until its agent ends, and then returned once"
        assert reserved == sum(held.values()) <= DAILY
        crossed = sum(day == self.today for day, _ in self.crossed)
        assert used + reserved <= DAILY + crossed * MESSAGE

    @invariant()
    def sums_by_outcome(self) -> None:
        today: Counter[str] = Counter()
        agents_of: Counter[str] = Counter()
        spenders = self.client.zrange(keys.spenders(self.at), 0, -1, withscores=True)
        assert sum(tokens for _, tokens in spenders) == self.used[self.today]
        states = self.states()
        for agent_id, tokens in spenders:
            if (status := states[agent_id].status) in FINAL:
                outcome = "delivered" if status is Status.COMPLETED else "in_nothing"
                today[outcome] += int(tokens)
                agents_of[outcome] += 1
        sums = self.store.run(day_sums(self.at)).outcomes
        assert {name: one.tokens for name, one in sums.items() if one.agents} == today
        assert {name: one.agents for name, one in sums.items() if one.agents} == agents_of

    @invariant()
    def places(self) -> None:
        states = self.states()
        placed = set(self.client.zrange(keys.SLOTS, 0, -1))
        assert placed == {
            a for a, state in states.items() if state.phase in state_machine.WITH_SLOT
        }
        assert len(placed) <= PLACES
        waiting = self.client.zrange(keys.WAITING, 0, -1)
        assert {states[agent_id].phase for agent_id in waiting} <= state_machine.WAITING
        uncalled = set(self.client.hkeys(keys.UNCALLED))
        assert uncalled <= set(waiting)
        assert not uncalled & set(waiting[: PLACES - len(placed)]), "a place is free: called"
        awaiting = self.client.zrange(keys.AWAITING, 0, -1)
        delayed = self.client.zrange(keys.DELAYED, 0, -1)
        assert sorted([*awaiting, *delayed, *uncalled]) == sorted(
            a for a, state in states.items() if state.phase in state_machine.AWAITING_MESSAGE
        ), "each that waits has a message, a date, or is called when a place is free"

    def teardown(self) -> None:
        """Without new faults every agent ends, and nothing is held or owed."""
        self.hands.clear()
        for _ in range(60):
            if all(state.status in FINAL for state in self.states().values()):
                break
            self.at += timedelta(seconds=LEASE_S + 1)
            self.monitor.sweep()
            for name in self.queued():
                while document := self.client.rpop(name):
                    self.take(document)
            for hands in list(self.hands):
                self.hands.remove(hands)
                self.holder.enqueue_for_gates(hands.agent, {}, b"change")
        self.tokens()
        self.places()
        assert {state.status for state in self.states().values()} <= FINAL
        assert self.sums()[1] == 0
        assert self.client.exists(keys.SLOTS, keys.WAITING, keys.UNCALLED) == 0


def test_the_budget_holds_whatever_comes(store, client):
    run_state_machine_as_test(lambda: Fleet(store, client), settings=seeded(programs=40, steps=50))
