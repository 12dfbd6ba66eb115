"""A lost or failed attempt is recovered, rescheduled or failed with its reason."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.errors import AttemptStale, GitTimedOut, ProviderLimited, TransitionRefused
from orchestrator.leases.retry_policy import RecoveryPolicy
from orchestrator.maintenance.rescuer import LOST_AFTER_S
from orchestrator.models import LogLine, Phase, Status
from orchestrator.store import agent_transitions, changes, keys, leases
from orchestrator.store.agent_logs import append_log
from orchestrator.store.operations import command
from tests.integration.recovery.conftest import running, state, take_messages


def test_an_agent_that_was_claimed_and_lost_waits_its_turn_and_begins_anew(
    store, client, clock, holder, monitor, spawn
):
    agent_id = spawn()
    take_messages(client)
    stale = holder.claim(agent_id)
    clock.forward(31)
    assert monitor.sweep() == (agent_id,)
    lost = state(store, agent_id)
    assert (lost.status, lost.phase, lost.recoveries) == (Status.SPAWNING, Phase.QUEUED, 1)
    with pytest.raises(AttemptStale):
        holder.start(stale, base_commit="abc")
    assert not store.run(
        append_log(agent_id, stale.attempt, [LogLine(at=clock(), source="x", text="x")], cap=10)
    )
    assert take_messages(client) in ([], [agent_id])
    clock.forward(2)
    monitor.sweep()
    assert take_messages(client) in ([], [agent_id])
    assert holder.claim(agent_id).attempt == 3


def test_a_running_agent_goes_on_from_its_checkpoint(store, client, clock, holder, monitor, spawn):
    agent_id = spawn()
    agent = running(holder, store, agent_id)
    take_messages(client)
    store.follow(changes.save_change(agent_id, agent.attempt, b"bundle", for_s=100))
    clock.forward(31)
    monitor.sweep()
    lost = state(store, agent_id)
    assert (lost.status, lost.phase) == (Status.RUNNING, Phase.AWAITING_REWORK)
    assert lost.continues_attempt == agent.attempt
    clock.forward(2)
    monitor.sweep()
    assert take_messages(client) == [agent_id]
    assert holder.claim(agent_id).phase is Phase.PREPARING


def test_gates_that_were_lost_are_run_again_on_the_same_change(
    store, client, clock, holder, monitor, spawn
):
    agent_id = spawn()
    agent = running(holder, store, agent_id)
    holder.enqueue_for_gates(agent, {}, b"change")
    stale = holder.claim_for_gates(agent_id, agent.attempt)
    take_messages(client)
    clock.forward(31)
    monitor.sweep()
    clock.forward(2)
    monitor.sweep()
    assert take_messages(client) == [f"{agent_id}.gate_check.2"]
    with pytest.raises(AttemptStale):
        holder.update(stale, {"phase": Phase.DELIVERING})
    again = holder.claim_for_gates(agent_id, 2)
    assert (again.phase, again.change_attempt) == (Phase.GATING, 1)


def test_who_loses_one_attempt_too_many_fails_with_the_reason(
    store, client, clock, holder, monitor, spawn
):
    agent_id = spawn(maxRetries=1)
    for _ in range(2):
        holder.claim(agent_id)
        clock.forward(31)
        monitor.sweep()
        clock.forward(5)
        monitor.sweep()
    ended = state(store, agent_id)
    assert (ended.status, ended.error_code) == (Status.FAILED, "lease_lost")
    assert "spawn@here" in ended.error


def test_a_lease_that_is_renewed_in_time_is_nobody_elses(store, clock, holder, monitor, spawn):
    agent_id = spawn()
    agent = holder.claim(agent_id)
    clock.forward(29)
    assert store.run(leases.heartbeat(agent, lease_s=30, now=clock())) == "held"
    clock.forward(29)
    assert monitor.sweep() == ()
    # Found expired, and renewed before the move: the move is refused.
    clock.forward(2)
    found = state(store, agent_id)
    ends = store.run(leases.expired(clock()))
    later = clock() + timedelta(seconds=30)
    store.run(command("ZADD", keys.LEASES, round(later.timestamp() * 1000), agent_id, decode=int))
    step = agent_transitions.recover(
        found,
        continues=None,
        counts=True,
        delay_s=0,
        now=clock(),
        tag="t",
        found_lease_ms=ends[agent_id],
    )
    with pytest.raises(TransitionRefused):
        store.run(step)


@pytest.mark.parametrize("step", ["queued", "handed-over", "ended"])
def test_a_message_that_died_with_its_worker_is_sent_again(
    store, client, clock, holder, monitor, spawn, step
):
    agent_id = spawn()
    if step != "queued":
        agent = running(holder, store, agent_id)
        holder.enqueue_for_gates(agent, {}, b"change")
    if step == "ended":
        holder.complete(holder.claim_for_gates(agent_id, 1), {})
    (*_, last) = take_messages(client)
    clock.forward(61)
    monitor.sweep()
    assert take_messages(client) == [], "one look is not enough: a worker may be about to claim"
    clock.forward(LOST_AFTER_S)
    monitor.sweep()
    assert take_messages(client) == [last]


def test_a_fault_of_the_host_is_tried_again_and_one_of_the_agent_is_not(
    store, client, clock, holder, spawn
):
    agent_id = spawn()
    with holder.holding(holder.claim(agent_id)):
        raise GitTimedOut
    assert state(store, agent_id).phase is Phase.QUEUED
    assert state(store, agent_id).recoveries == 1


def test_a_worker_that_stops_gives_its_agents_back_at_once_and_nothing_counts(
    store, client, holder, spawn
):
    agent_id = spawn()
    take_messages(client)
    with holder.holding(holder.claim(agent_id)) as lease:
        holder.stop()
        lease.check()
    given_back = state(store, agent_id)
    assert (given_back.phase, given_back.recoveries) == (Phase.QUEUED, 0)
    assert take_messages(client) == [agent_id]


def test_a_provider_that_takes_no_more_parks_every_agent_of_the_backend(
    store, client, clock, holder, monitor, spawn
):
    first, second = spawn(), spawn()
    limited = ProviderLimited()
    limited.resets_at_s = (clock() + timedelta(seconds=100)).timestamp()
    with holder.holding(holder.claim(first)):
        raise limited
    assert holder.claim(second) is None
    take_messages(client)
    for agent_id in (first, second):
        waits = state(store, agent_id)
        assert (waits.phase, waits.recoveries) == (Phase.QUEUED, 0)
        due_s = client.zscore(keys.DELAYED, agent_id) / 1000 - clock().timestamp()
        assert 100 <= due_s <= 100 + RecoveryPolicy.provider_jitter_s
    clock.forward(99)
    monitor.sweep()
    assert take_messages(client) == []
    clock.forward(1 + RecoveryPolicy.provider_jitter_s)
    monitor.sweep()
    assert sorted(take_messages(client)) == sorted([first, second])
    assert holder.claim(first) is not None
