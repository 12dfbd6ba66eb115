"""The operations of the product on a real Valkey, in any order, keep the promises of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import DataObject, data, sampled_from

from orchestrator.errors import LeaseLost
from orchestrator.maintenance.rescuer import LOST_AFTER_S
from orchestrator.models import AgentState, Halt, Status
from orchestrator.models.state_machine import ACTIVE, FINAL
from orchestrator.store import agent_transitions, agents, halt, kills
from orchestrator.store import leases as stored_leases
from orchestrator.store.transition import now_ms
from tests.model import invariants
from tests.model.fleet import LEASE_S, Fleet, Hands, View
from tests.model.lease_state import HELD
from tests.model.seeded import seeded


class HostileFleet(Fleet):
    """The fleet while time passes, sweeps run and operators act; it keeps the promises."""

    # Time, the sweep, the operator.

    @rule(seconds=sampled_from([1, LOST_AFTER_S + 1, LEASE_S * 0.9, LEASE_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    @rule(after_s=sampled_from([0, LEASE_S + 1]))
    def sweep(self, after_s: float = 0) -> None:
        self.time_passes(after_s)
        with self.sweeping():
            self.monitor.sweep()

    @rule(meanwhile=sampled_from(["nothing", "renew", "go_on"]))
    def sweep_stalls(self, meanwhile: str) -> None:
        """A sweep reads what it finds and stops; what it does with it comes later."""
        self.time_passes(LEASE_S + 1)
        leases = self.store.run(stored_leases.expired(self.at))
        self.found = [(self.store.run(agents.read(one)), end) for one, end in leases.items()]
        for hands in list(self.hands) if meanwhile != "nothing" else []:
            getattr(self, meanwhile)(hands)

    @precondition(lambda self: self.found)
    @rule()
    def sweep_goes_on(self) -> None:
        with self.sweeping():
            for agent, found_lease_ms in self.found:
                recover = self.monitor.holder.recover
                recover(agent, LeaseLost(), found_lease_ms=found_lease_ms)
        self.found = []

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        before = self.view()
        yield
        after = self.view()
        for agent_id, record in before.records.items():
            now_is = after.records[agent_id]
            if (record.attempt, record.status) != (now_is.attempt, now_is.status):
                self.owners[agent_id] = None
                if before.leases.get(agent_id, float("inf")) > now_ms(self.at):
                    self.broken.add("an_attempt_in_time_is_left_alone")

    @rule(data=data(), order=sampled_from(["halt", "resume", "resume", "kill"]))
    def operator(self, data: DataObject, order: str) -> None:
        if order == "kill":
            self.kill(data)
        elif order == "halt":
            self.store.run(halt.set_halt(Halt(by="me", why="why", at=self.at)))
        else:
            self.store.run(halt.lift_halt())

    def kill(self, data: DataObject) -> None:
        agent_id = data.draw(sampled_from(list(self.owners)))
        agent = self.store.run(agents.read(agent_id))
        order = kills.KillOrder("me", "why")
        self.store.run(kills.kill([agent], order, now=self.at, tags=[self.new_id()]))
        self.owners[agent_id] = None

    # What is held.

    @invariant()
    def promises(self) -> None:
        view = self.view()
        for agent_id, record in view.records.items():
            if record.status in FINAL:
                self.ended.setdefault(agent_id, record.status)
        assert [name for name, holds in ALWAYS.items() if not holds(self, view)] == []

    def teardown(self) -> None:
        """After the last fault all that waits is found, and every agent ends."""
        self.store.run(halt.lift_halt())
        for _ in range(3):
            self.time_passes(LEASE_S + 1)
            self.monitor.sweep()
        self.settled("every_active_agent_has_a_message_a_lease_or_a_date")
        self.hands.clear()
        for _ in range(8):
            self.time_passes(LEASE_S + 1)
            self.sweep()
            for name in self.any_message():
                while document := self.client.rpop(name):
                    hands = self.take(document)
                    while hands in self.hands and hands.works:
                        self.go_on(hands)
                        while self.flying:
                            agent_id, commit, replaces = self.flying.pop()
                            if self.remote.get(agent_id, "") == replaces:
                                self.remote[agent_id] = commit
            self.promises()
        self.settled("every_agent_ends")

    def settled(self, name: str) -> None:
        assert EVENTUALLY[name](self.view()), name


def _unbroken(name: str) -> Callable[[HostileFleet, View], bool]:
    return lambda fleet, _: name not in fleet.broken


def _each(
    holds: Callable[[HostileFleet, View, AgentState], bool],
) -> Callable[[HostileFleet, View], bool]:
    return lambda fleet, view: all(holds(fleet, view, agent) for agent in view.records.values())


def _at_work(fleet: HostileFleet, agent: AgentState) -> list[Hands]:
    return [h for h in fleet.hands if h.agent.agent_id == agent.agent_id and h.works]


def _may_write(fleet: HostileFleet, _: View, agent: AgentState) -> bool:
    fenced_in = [h for h in _at_work(fleet, agent) if h.agent.attempt == agent.attempt]
    return agent.status in FINAL or len(fenced_in) <= 1


def _is_awaited(view: View, agent: AgentState) -> bool:
    is_known = agent.agent_id in view.leases or agent.agent_id in view.delayed
    return is_known or agent_transitions.message_of(agent).task_id in view.messages


ALWAYS: Mapping[str, Callable[[HostileFleet, View], bool]] = {
    "at_most_one_live_attempt": _each(
        lambda fleet, _, agent: sum(map(fleet.lives, _at_work(fleet, agent))) <= 1
    ),
    "at_most_one_live_attempt_may_write": _each(_may_write),
    "a_stale_attempt_writes_nothing": _unbroken("a_stale_attempt_writes_nothing"),
    "an_attempt_in_time_is_left_alone": _unbroken("an_attempt_in_time_is_left_alone"),
    "a_final_state_never_changes": _each(
        lambda fleet, _, agent: fleet.ended.get(agent.agent_id) in {None, agent.status}
    ),
    "a_killed_agent_is_never_claimed": _unbroken("a_killed_agent_is_never_claimed"),
    "at_most_one_push": _each(
        lambda fleet, _, agent: (
            agent.status is not Status.COMPLETED or fleet.remote.get(agent.agent_id) == agent.commit
        )
    ),
    "a_held_agent_has_a_lease_or_is_recovered": _each(
        lambda _, view, agent: (
            (agent.status in ACTIVE and agent.phase in HELD) == (agent.agent_id in view.leases)
        )
    ),
    "counts_add_up": _each(
        lambda _, view, agent: (
            [status for status in Status if agent.agent_id in view.indexes[status]]
            == [agent.status]
        )
    ),
}

EVENTUALLY: Mapping[str, Callable[[View], bool]] = {
    "every_active_agent_has_a_message_a_lease_or_a_date": lambda view: all(
        agent.status in FINAL or _is_awaited(view, agent) for agent in view.records.values()
    ),
    "every_agent_ends": lambda view: all(a.status in FINAL for a in view.records.values()),
}


def test_the_product_is_held_to_every_promise_and_no_other():
    assert ALWAYS.keys() == invariants.ALWAYS.keys()
    assert EVENTUALLY.keys() == invariants.EVENTUALLY.keys()


def test_the_product_keeps_the_promises_of_the_model_whatever_comes(store, client):
    run_state_machine_as_test(
        lambda: HostileFleet(store, client), settings=seeded(programs=60, steps=40)
    )
