"""The sweep reads only what it must, and removes what retention has ended."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from orchestrator.maintenance.rescuer import LOST_AFTER_S, Rescuer
from orchestrator.models import LogLine
from orchestrator.store import changes, delays, keys, kills
from orchestrator.store.agent_logs import append_log
from orchestrator.store.operations import command
from tests.integration.recovery.conftest import running, state, take_messages


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
    store.follow(changes.put_change(agent_id, 1, b"x"))
    holder.enqueue_for_gates(agent, {}, b"change")
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
