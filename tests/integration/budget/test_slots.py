"""Over the cap, agents wait for a slot by priority and age."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.errors import BudgetExceeded, WorkerStopping
from orchestrator.host.processes import Host
from orchestrator.leases.attempt_result import Reschedule
from orchestrator.maintenance.consistency import ConsistencyCheck
from orchestrator.maintenance.rescuer import LOST_AFTER_S
from orchestrator.store import agents, keys, kills, leases
from tests.integration.budget.conftest import queued


def test_over_the_cap_agents_wait_by_priority_then_age_and_cost_nothing(fleet, client):
    first, second = fleet.running(), fleet.running()
    order = (5, 9, 5, 10)
    waiting = [fleet.spawn(priority=priority) for priority in order]
    queued(client)
    assert [fleet.holder.claim(agent_id) for agent_id in waiting] == [None] * 4
    assert queued(client) == []
    assert {fleet.store.run(agents.read(one)).attempt for one in waiting} == {0}
    assert (fleet.summary().running, fleet.summary().waiting) == (2, 4)
    expected = [waiting[3], waiting[1], waiting[0], waiting[2]]
    for agent in (first, second):
        fleet.holder.enqueue_for_gates(agent, {}, b"change")
    called = queued(client)
    assert called == expected[:2]
    # A less urgent one that comes by meanwhile takes no place from those who were called.
    late = fleet.spawn(priority=1)
    assert queued(client) == [late]
    assert fleet.holder.claim(late) is None
    for agent_id in called:
        fleet.holder.fail(fleet.holder.claim(agent_id), BudgetExceeded())
    assert queued(client) == expected[2:]
    for agent_id in expected[2:]:
        assert fleet.holder.claim(agent_id) is not None


def test_raising_the_cap_lets_in_who_waits_at_once(fleet, client):
    agents_ = [fleet.spawn() for _ in range(5)]
    queued(client)
    claimed = [fleet.holder.claim(agent_id) for agent_id in agents_]
    assert [agent is not None for agent in claimed] == [True, True, False, False, False]
    fleet.store.follow(fleet.budget.set("concurrency", "4", by="me", why=""))
    assert queued(client) == agents_[2:4]
    assert [fleet.holder.claim(agent_id) is not None for agent_id in agents_[2:]] == [
        True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["sweep", "kill", "stop", "end"])
def test_a_place_comes_back_whatever_ends_its_agent(fleet, client, way):
    held = fleet.running(maxRetries=0)
    fleet.running()
    third = fleet.spawn()
    assert fleet.holder.claim(third) is None
    queued(client)
    if way == "sweep":
        heartbeat = leases.heartbeat
        fleet.at += timedelta(seconds=31)
        other = next(a for a in client.zrange(keys.SLOTS, 0, -1) if a != held.agent_id)
        alive = fleet.store.run(agents.read(other))
        fleet.store.run(heartbeat(alive, lease_s=30, now=fleet.at))
        fleet.monitor.sweep()
    elif way == "kill":
        order = kills.KillOrder("me", "why")
        fleet.store.run(kills.kill([held], order, now=fleet.at, tags=["t"]))
    elif way == "stop":
        fleet.holder.apply(held, Reschedule(WorkerStopping()))
    else:
        fleet.holder.fail(held, BudgetExceeded())
    assert third in queued(client)
    assert held.agent_id not in client.zrange(keys.SLOTS, 0, -1)


def test_who_waits_is_found_by_kills_and_a_lost_call_is_made_again(fleet, client):
    first, _ = fleet.running(), fleet.running()
    lost, killed = fleet.spawn(priority=9), fleet.spawn(priority=10)
    for agent_id in (lost, killed):
        assert fleet.holder.claim(agent_id) is None
    queued(client)
    target = fleet.store.run(agents.read(killed))
    fleet.store.run(kills.kill([target], kills.KillOrder("me", ""), now=fleet.at, tags=["t"]))
    assert client.zrange(keys.WAITING, 0, -1) == [lost]
    fleet.holder.enqueue_for_gates(first, {}, b"change")
    assert queued(client) == [lost]
    for _ in range(2):
        fleet.at += timedelta(seconds=LOST_AFTER_S)
        fleet.monitor.sweep()
    assert queued(client) == [lost]
    assert fleet.holder.claim(lost) is not None
    assert client.exists(keys.WAITING, keys.UNCALLED) == 0


def test_who_waits_for_a_place_is_sent_no_message_until_it_is_called(fleet, client):
    for _ in range(2):
        fleet.running()
    fleet.holder.claim(fleet.spawn())
    queued(client)
    for _ in range(2):
        fleet.at += timedelta(seconds=LOST_AFTER_S + 1)
        fleet.monitor.sweep()
    assert queued(client) == []


def test_fsck_sees_and_mends_what_disagrees_with_the_states(fleet, client, tmp_path):
    fsck = ConsistencyCheck(
        *(fleet.store, Host(tmp_path), tmp_path, tmp_path / "w"),
        *(lambda: fleet.at, fleet.new_id, lambda _: 0),
    )
    held = fleet.running()
    fleet.running()
    fleet.holder.claim(fleet.spawn())
    assert fsck.check() == ()
    client.hset(keys.RESERVED, "gone", 70)
    client.zadd(keys.SLOTS, {"gone": 1})
    client.zrem(keys.SLOTS, held.agent_id)
    client.zadd(keys.WAITING, {"nobody": 1})
    assert [drift.kind for drift in fsck.check()] == [
        "orphaned-reservation", "reservations-wrong", "orphaned-slot", "slot-missing",
        "orphaned-slot-request",
    ]  # fmt: skip
    for drift in fsck.check():
        drift.repair()
    assert fsck.check() == ()
    assert fleet.counts() == (0, 300)
