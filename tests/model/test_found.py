"""What the model found in the product, each way there played on a real Valkey."""

from __future__ import annotations

from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.errors import LeaseLost, TransitionRefused
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import Phase, Status
from orchestrator.store import agent_transitions, agents, changes, kills, leases

LEASE_S = 30


class Fleet:
    """A clock moved by hand, one agent that may lose one attempt, and workers."""

    def __init__(self, store):
        self.store = store
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        numbers = count()
        self.new_id = lambda: f"id-{next(numbers)}"
        door = SubmitService("scripted", frozenset({"scripted"}), lambda: self.at, self.new_id)
        context = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
        body = {"taskId": "t", "agentType": "worker", "context": context, "maxRetries": 1}
        self.agent_id = store.run(door.submit(body)).agent_id

    def worker(self):
        clock = lambda: self.at  # noqa: E731 - a clock that follows this one
        return AgentLeases(self.store, clock, self.new_id, "w@here", lease_s=LEASE_S, process="1:1")

    @property
    def state(self):
        return self.store.run(agents.read(self.agent_id))


@pytest.fixture
def fleet(store):
    return Fleet(store)


def again(fleet, step):
    """Send a step again, as the driver does when its reply was lost; other things came between."""
    return fleet.store.run(step)


def test_a_hand_over_sent_again_does_not_take_the_agent_from_its_gates(fleet):
    spawn, gates, others = fleet.worker(), fleet.worker(), fleet.worker()
    with spawn.holding(spawn.claim(fleet.agent_id)) as lease:
        agent = spawn.start(lease.agent, base_commit="abc")
        fleet.store.follow(changes.put_change(fleet.agent_id, 1, b"change"))
        step = agent_transitions.enqueue_for_gates(agent, {}, now=fleet.at, tag="t")
        fleet.store.run(step)
        judged = gates.claim_for_gates(fleet.agent_id, 1)
        again(fleet, step)
    assert fleet.state == judged
    assert others.claim_for_gates(fleet.agent_id, 1) is None


def test_a_start_sent_again_says_the_same_and_ends_nothing(fleet):
    spawn = fleet.worker()
    agent = spawn.claim(fleet.agent_id)
    step = agent_transitions.start(agent, base_commit="abc", lease_s=LEASE_S, now=fleet.at)
    assert fleet.store.run(step).state == again(fleet, step).state == fleet.state
    assert fleet.state.phase is Phase.EXECUTING
    spawn.enqueue_for_gates(fleet.state, {}, b"change")
    with pytest.raises(TransitionRefused):
        again(fleet, step)


def test_a_send_back_sent_again_does_not_fail_the_agent(fleet):
    spawn, gates = fleet.worker(), fleet.worker()
    spawn.enqueue_for_gates(
        spawn.start(spawn.claim(fleet.agent_id), base_commit="abc"), {}, b"change"
    )
    with gates.holding(gates.claim_for_gates(fleet.agent_id, 1)) as lease:
        step = agent_transitions.request_rework(lease.agent, {}, now=fleet.at, tag="t")
        fleet.store.run(step)
        again(fleet, step)
    assert (fleet.state.status, fleet.state.phase) == (Status.RUNNING, Phase.AWAITING_REWORK)


@pytest.mark.parametrize("error", [OSError("disk"), LeaseLost(), TransitionRefused("no")])
def test_an_error_of_whom_the_agent_has_left_is_not_its_end(fleet, error):
    spawn, gates = fleet.worker(), fleet.worker()
    with spawn.holding(spawn.claim(fleet.agent_id)) as lease:
        spawn.enqueue_for_gates(spawn.start(lease.agent, base_commit="abc"), {}, b"change")
        judged = gates.claim_for_gates(fleet.agent_id, 1)
        raise error
    assert fleet.state == judged


def test_who_has_handed_an_agent_over_does_not_confirm_its_death(fleet):
    spawn, gates = fleet.worker(), fleet.worker()
    with spawn.holding(spawn.claim(fleet.agent_id)) as lease:
        spawn.enqueue_for_gates(spawn.start(lease.agent, base_commit="abc"), {}, b"change")
        judged = gates.claim_for_gates(fleet.agent_id, 1)
        order = kills.KillOrder("me", "why")
        fleet.store.run(kills.kill([judged], order, now=fleet.at, tags=["t"]))
    assert not fleet.store.run(kills.read_receipt(fleet.agent_id)).confirmed


@pytest.mark.parametrize("losses", [0, 1])
def test_a_sweep_that_stalls_leaves_what_has_its_lease_again(fleet, losses):
    """With one loss behind it the sweep would fail the agent, else give it to another attempt."""
    spawn, sweep = fleet.worker(), fleet.worker()
    for _ in range(losses):
        sweep.recover(spawn.claim(fleet.agent_id), LeaseLost())
    agent = spawn.claim(fleet.agent_id)
    fleet.at += timedelta(seconds=LEASE_S + 1)
    found = fleet.store.run(leases.expired(fleet.at))
    fleet.store.run(leases.heartbeat(agent, lease_s=LEASE_S, now=fleet.at))
    sweep.recover(agent, LeaseLost(), found_lease_ms=found[fleet.agent_id])
    assert fleet.state == agent


@pytest.mark.parametrize("losses", [0, 1])
def test_a_sweep_that_stalls_leaves_what_was_handed_over_meanwhile(fleet, losses):
    spawn, sweep = fleet.worker(), fleet.worker()
    for _ in range(losses):
        sweep.recover(spawn.claim(fleet.agent_id), LeaseLost())
    agent = spawn.start(spawn.claim(fleet.agent_id), base_commit="abc")
    fleet.at += timedelta(seconds=LEASE_S + 1)
    found = fleet.store.run(leases.expired(fleet.at))
    spawn.enqueue_for_gates(agent, {}, b"change")
    handed = fleet.state
    sweep.recover(handed, LeaseLost(), found_lease_ms=found[fleet.agent_id])
    assert fleet.state == handed


@pytest.mark.parametrize("jump_s", [7200, -7200])
@pytest.mark.parametrize("losses", [0, 1])
def test_a_sweep_that_stalls_over_a_jump_leaves_what_has_another_lease(fleet, losses, jump_s):
    """Of a worker that went on: by the new time its lease may have ended too."""
    spawn, sweep, gates = fleet.worker(), fleet.worker(), fleet.worker()
    for _ in range(losses):
        sweep.recover(spawn.claim(fleet.agent_id), LeaseLost())
    agent = spawn.start(spawn.claim(fleet.agent_id), base_commit="abc")
    fleet.at += timedelta(seconds=LEASE_S + 1)
    found = fleet.store.run(leases.expired(fleet.at))
    fleet.at += timedelta(seconds=min(jump_s, 0))
    spawn.enqueue_for_gates(agent, {}, b"change")
    held = gates.claim_for_gates(fleet.agent_id, agent.attempt)
    fleet.at += timedelta(seconds=abs(jump_s))
    sweep.recover(held, LeaseLost(), found_lease_ms=found[fleet.agent_id])
    assert fleet.state == held


def test_who_ends_late_does_not_forget_the_next_attempt_of_its_own_process(fleet):
    worker = fleet.worker()
    with worker.holding(worker.claim(fleet.agent_id)) as lease:
        worker.recover(lease.agent, LeaseLost())
        following = worker.holding(worker.claim(fleet.agent_id))
        # As another thread of the process holds it: each has its own context.
        another = copy_context()
        newer = another.run(following.__enter__)
    assert worker.held == {fleet.agent_id: newer}
    another.run(following.__exit__, None, None, None)
    assert worker.held == {}
