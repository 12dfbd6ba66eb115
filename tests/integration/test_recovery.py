"""What a lost worker, message or host leaves is gone on with, once, where it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import redis

from orchestrator.control.submit import SubmitService
from orchestrator.errors import AttemptStale, GitTimedOut, ProviderLimited, TransitionRefused
from orchestrator.leases.holder import AgentLeases
from orchestrator.leases.recovery import RecoveryPolicy
from orchestrator.maintenance.rescuer import LOST_AFTER_S, Rescuer
from orchestrator.messages import queue_key
from orchestrator.models import LogLine, Phase, Status
from orchestrator.store import agent_transitions, agents, changes, delays, keys, kills, leases
from orchestrator.store.agent_logs import append_log
from orchestrator.store.operations import command

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


@pytest.fixture
def client(valkey_url):
    with redis.Redis.from_url(valkey_url, decode_responses=True) as connection:
        yield connection


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
    store.run(changes.save_change(agent_id, agent.attempt, b"bundle", for_s=100))
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
    holder.enqueue_for_gates(agent, {})
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
    later = clock() + timedelta(seconds=30)
    store.run(command("ZADD", keys.LEASES, round(later.timestamp() * 1000), agent_id, decode=int))
    step = agent_transitions.recover(
        found, continues=None, counts=True, delay_s=0, now=clock(), tag="t", only_expired=True
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
        holder.enqueue_for_gates(agent, {})
    if step == "ended":
        holder.complete(holder.claim_for_gates(agent_id, 1), {})
    (*_, last) = take_messages(client)
    clock.forward(61)
    monitor.sweep()
    assert take_messages(client) == [], "one look is not enough: a worker may be about to claim"
    clock.forward(LOST_AFTER_S)
    monitor.sweep()
    assert take_messages(client) == [last]


def test_a_sweep_asks_nothing_of_those_that_ended_long_ago(client, clock, holder):
    """There are as many of them as retention is long."""
    long_ago = (clock() - timedelta(days=1)).timestamp() * 1000
    old = {f"{number:036}": long_ago for number in range(10_000)}
    client.zadd(keys.status_index("completed"), old)
    before = client.info("stats")["total_net_output_bytes"]
    assert Rescuer(holder, retention_s=7 * 86400).sweep() == ()
    assert client.info("stats")["total_net_output_bytes"] - before < 100_000


def test_a_message_that_waits_in_its_queue_is_not_sent_twice(client, clock, monitor, spawn):
    agent_id = spawn()
    for _ in range(4):
        clock.forward(LOST_AFTER_S + 1)
        monitor.sweep()
    assert take_messages(client) == [agent_id]


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
    client.delete(keys.provider_limit("scripted"))  # as its expiry, by Valkey's own clock
    monitor.sweep()
    assert sorted(take_messages(client)) == sorted([first, second])
    assert holder.claim(first) is not None


UNREADABLE = {
    "another version's": lambda record: json.dumps({**json.loads(record), "fromTomorrow": 1}),
    "nobody's": lambda _: "no JSON",
}


@pytest.mark.parametrize("spoil", UNREADABLE.values(), ids=UNREADABLE)
def test_a_record_that_cannot_be_read_holds_up_no_other_agent(
    store, client, clock, holder, monitor, spawn, spoil
):
    """Neither lost ones, nor those whose time has come, nor those that ended."""
    spoiled, lost = spawn(), spawn()
    for agent_id in (spoiled, lost):
        holder.claim(agent_id)
    clock.forward(31)
    client.zadd(keys.DELAYED, {spoiled: 1, (due := spawn()): 2})
    client.set(keys.agent(spoiled), spoil(client.get(keys.agent(spoiled))))
    take_messages(client)
    monitor.sweep()
    assert state(store, lost).recoveries == 1
    assert due in take_messages(client)
    assert client.zscore(keys.LEASES, spoiled), "it may be read again"
    client.zadd(keys.status_index("failed"), {spoiled: 1})
    monitor.sweep()
    assert client.keys(f"*{spoiled}*") == []


def test_nothing_of_an_agent_outlives_its_retention(store, client, clock, holder, monitor, spawn):
    agent_id = spawn()
    agent = running(holder, store, agent_id)
    store.run(append_log(agent_id, 1, [LogLine(at=clock(), source="x", text="x")], cap=10))
    store.run(changes.put_change(agent_id, 1, b"x"))
    holder.enqueue_for_gates(agent, {})
    holder.complete(holder.claim_for_gates(agent_id, 1), {})
    client.delete(f"celery-task-meta-{agent_id}")
    take_messages(client)
    clock.forward(3599)
    monitor.sweep()
    assert client.exists(keys.agent(agent_id))
    clock.forward(3600)
    monitor.sweep()
    left = [
        key
        for key in client.scan_iter("*")
        if agent_id in key
        or (client.type(key) == "zset" and client.zscore(key, agent_id) is not None)
    ]
    assert left == []
    assert not client.exists(keys.task("t-1"))


def test_a_kill_that_nobody_confirmed_counts_no_longer_than_its_receipt_is_kept(
    store, client, clock, holder, monitor, spawn
):
    agent = holder.claim(spawn())
    store.run(kills.kill([agent], kills.KillOrder("ann", ""), now=clock(), tags=["t"]))
    clock.forward(3599)
    monitor.sweep()
    assert store.run(kills.unconfirmed()) == (agent.agent_id,)
    clock.forward(2)
    monitor.sweep()
    assert store.run(kills.unconfirmed()) == ()
    assert not client.exists(keys.receipt(agent.agent_id))


def test_one_sweeps_at_a_time(store, holder, monitor, clock, spawn):
    agent_id = spawn()
    holder.claim(agent_id)
    clock.forward(31)
    store.run(command("SET", keys.SWEEP_LOCK, "another", decode=bool))
    assert monitor.sweep() == ()
    store.run(command("DEL", keys.SWEEP_LOCK, decode=bool))
    assert monitor.sweep() == (agent_id,)
    assert store.run(command("EXISTS", keys.SWEEP_LOCK, decode=bool)) is False


def test_who_waits_for_its_time_is_seen_to_wait(store, client, clock, holder, monitor, spawn):
    agent_id = spawn()
    take_messages(client)
    holder.claim(agent_id)
    clock.forward(31)
    monitor.sweep()
    due_ms = client.zscore(keys.DELAYED, agent_id)
    if due_ms is not None:
        assert delays.delayed().decode([agent_id.encode()]) == (agent_id,)
        assert due_ms >= clock().timestamp() * 1000
