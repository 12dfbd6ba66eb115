"""`heartbeat.lua`, `release.lua`, `unlock.lua`, `refuse.lua` and `transition.lua`: their guards."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from orchestrator.errors import (
    ArgumentRefused,
    AttemptStale,
    Halted,
    NoSlotFree,
    NotFound,
    OrchestratorError,
    TransitionRefused,
)
from orchestrator.messages import SPAWN_QUEUE, SPAWN_TASK, StageMessage
from orchestrator.models import Halt, Phase, Status
from orchestrator.store import (
    agent_transitions,
    agents,
    budget,
    changes,
    delays,
    halt,
    keys,
    leases,
    registration,
)
from orchestrator.store.locks import sweeping
from orchestrator.store.transition import Move, move
from tests.script_calls import NOW, arguments_of, with_arguments

LATER = NOW + timedelta(seconds=90)


def written(client):
    return {name: client.dump(name) for name in client.keys("*")}


def beat(store, agent, **changes):
    return store.run(leases.heartbeat(agent.model_copy(update=changes), lease_s=60, now=LATER))


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"agent_id": "nobody"}, "absent"),
        ({"attempt": 2}, "stale"),
        ({"attempt": 0}, "stale"),
        ({"worker": "another@h"}, "stale"),
        ({"worker_process": "2:2"}, "stale"),
    ],
)
def test_a_heartbeat_of_no_holder_renews_nothing(store, client, now_is, changes, answer):
    before = written(client)
    assert beat(store, now_is.running, **changes) == answer
    assert written(client) == before


def test_a_heartbeat_renews_a_lease_and_never_makes_one(store, client, now_is):
    held_until = client.zscore(keys.LEASES, "running")
    assert beat(store, now_is.running) == "held"
    assert client.zscore(keys.LEASES, "running") > held_until
    client.zrem(keys.LEASES, "running")
    assert beat(store, now_is.running) == "released"
    assert client.zscore(keys.LEASES, "running") is None


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.KILLED])
def test_a_heartbeat_of_an_agent_that_ended_says_how(store, client, now_is, status):
    document = json.loads(client.get(keys.agent("running")))
    client.set(keys.agent("running"), json.dumps({**document, "status": status}))
    before = written(client)
    assert beat(store, now_is.running) == status
    assert written(client) == before


def test_an_agent_that_is_claimed_and_not_started_is_held(store, client, now_is):
    document = json.loads(client.get(keys.agent("running")))
    client.set(keys.agent("running"), json.dumps({**document, "status": "spawning"}))
    assert beat(store, now_is.running) == "held"


def test_only_hard_mode_says_that_nothing_is_left_to_spend(store, now_is):
    store.run(agent_transitions.update(now_is.running, {"usage": {"totalTokens": 9}}, now=NOW))
    store.run(budget.set_limits({"agent": 9}, now=NOW))
    assert "its limit is 9" in beat(store, now_is.running)
    store.run(budget.set_limits({"mode": "soft"}, now=NOW))
    assert beat(store, now_is.running) == "held"


def test_an_agent_is_enqueued_once_however_many_release_it(store, client, now_is):
    message = StageMessage(SPAWN_TASK, SPAWN_QUEUE, "delayed", 5)
    length = client.llen(message.key)
    for _ in range(2):
        store.run(delays.release(message, now=NOW, tag="t"))
        assert client.llen(message.key) == length + 1


def test_a_lock_that_another_holds_meanwhile_stays(store, client):
    with sweeping(store, "mine") as is_mine:
        assert is_mine
        client.set(keys.SWEEP_LOCK, "theirs")
    assert client.get(keys.SWEEP_LOCK) == "theirs"
    client.delete(keys.SWEEP_LOCK)
    with sweeping(store, "mine"):
        assert client.exists(keys.SWEEP_LOCK)
    assert not client.exists(keys.SWEEP_LOCK)


def test_no_answer_replaces_that_of_an_agent(store, client, now_is):
    before = written(client)
    store.run(registration.refusal("queued", OrchestratorError("It failed."), now=NOW))
    assert written(client) == before


def test_a_move_of_no_agent_makes_none(store, client, now_is):
    nobody = now_is.running.model_copy(update={"agent_id": "nobody"})
    before = written(client)
    with pytest.raises(NotFound):
        store.run(agent_transitions.update(nobody, {"summary": "s"}, now=NOW))
    assert written(client) == before


@pytest.mark.parametrize(
    "changes", [{"attempt": 7}, {"worker": "another@h"}, {"worker_process": "2:2"}]
)
def test_a_move_of_another_holder_writes_nothing(store, client, now_is, changes):
    other = now_is.running.model_copy(update=changes)
    before = written(client)
    with pytest.raises(AttemptStale):
        store.run(agent_transitions.update(other, {"summary": "s"}, now=NOW))
    assert written(client) == before


def test_a_claim_heeds_the_halt_and_an_end_does_not(store, client, now_is):
    store.run(halt.set_halt(Halt(why="r", by="ann", at=NOW)))
    before = written(client)
    with pytest.raises(Halted):
        store.run(agent_transitions.claim(now_is.queued, "w@h", "1:1", lease_s=30, now=NOW))
    assert written(client) == before
    store.run(agent_transitions.end(now_is.running, Status.FAILED, now=NOW, tag="t"))
    assert store.run(agents.read("running")).status is Status.FAILED


def test_a_lease_that_was_renewed_since_it_was_found_is_not_expired(store, client, now_is):
    found = int(client.zscore(keys.LEASES, "running"))

    def recover(found_lease_ms):
        return agent_transitions.recover(
            now_is.running,
            continues=None,
            counts=True,
            delay_s=0,
            now=NOW,
            tag="t",
            found_lease_ms=found_lease_ms,
        )

    beat(store, now_is.running)
    before = written(client)
    with pytest.raises(TransitionRefused):
        store.run(recover(found))
    client.zrem(keys.LEASES, "running")
    with pytest.raises(TransitionRefused):
        store.run(recover(found))
    client.zadd(keys.LEASES, {"running": found})
    assert written(client).keys() == before.keys()
    store.run(recover(found))
    assert store.run(agents.read("running")).phase is not Phase.EXECUTING


def test_a_move_from_another_status_or_phase_writes_nothing(store, client, now_is):
    before = written(client)
    runs = now_is.running
    for sources, phases in [
        ((Status.SPAWNING,), ()),
        ((Status.RUNNING,), (Phase.GATING, Phase.QUEUED)),
    ]:
        step = Move(sources=sources, phases=phases, attempt=runs.attempt, patch={"summary": "s"})
        with pytest.raises(TransitionRefused):
            store.run(move(runs, step, now=NOW))
    assert written(client) == before


def test_a_claim_without_a_slot_waits_with_its_message(store, client, now_is):
    store.run(budget.set_limits({"concurrency": 1}, now=NOW))
    with pytest.raises(NoSlotFree):
        store.run(agent_transitions.claim(now_is.queued, "w@h", "1:1", lease_s=30, now=NOW))
    waiting, uncalled = keys.budget(NOW)["waiting"], keys.budget(NOW)["uncalled"]
    assert client.zscore(waiting, "queued") is not None
    assert client.hexists(uncalled, "queued")
    assert client.zscore(keys.SLOTS, "queued") is None
    # The slot that becomes free calls it, once.
    length = sum(client.llen(name) for name in client.keys("spawn*"))
    store.run(agent_transitions.end(now_is.running, Status.FAILED, now=NOW, tag="t"))
    assert sum(client.llen(name) for name in client.keys("spawn*")) == length + 1
    assert not client.hexists(uncalled, "queued")
    store.run(agent_transitions.claim(now_is.queued, "w@h", "1:1", lease_s=30, now=NOW))
    assert client.zscore(waiting, "queued") is None
    assert client.zscore(keys.SLOTS, "queued") is not None


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("to", "gone", "move.to"),
        ("event", {"type": "agent.x", "more": "y"}, "move.event.more"),
        ("event", {"error": "x"}, "move.event.type"),
        ("urgency", 1e14, "move.urgency"),
        ("urgency", 5, "message"),
        ("patch", {"status": "killed"}, "move.patch.status"),
        ("patch", {"usage": {"totalTokens": -1}}, "move.patch.usage"),
    ],
)
def test_a_malformed_move_is_refused_before_the_first_write(
    store, client, now_is, field, value, named
):
    step = agent_transitions.update(now_is.running, {"summary": "s"}, now=NOW)
    document, *rest = arguments_of(step)
    changed = json.dumps({**json.loads(document), field: value})
    before = written(client)
    with pytest.raises(ArgumentRefused, match=re.escape(named)):
        store.run(with_arguments(step, (changed, *rest)))
    assert written(client) == before


@pytest.mark.parametrize("position", [3, 4, 5])
def test_a_move_has_a_message_with_its_queue_only_and_a_result_if_it_is_final(
    store, client, now_is, position
):
    step = agent_transitions.update(now_is.running, {"summary": "s"}, now=NOW)
    arguments = [*arguments_of(step)]
    arguments[position] = "{}" if position == 3 else "x"
    before = written(client)
    with pytest.raises(ArgumentRefused):
        store.run(with_arguments(step, tuple(arguments)))
    assert written(client) == before


def test_a_field_that_a_move_clears_is_not_stored(store, client, now_is):
    for value in ("a provider", None):
        store.run(agent_transitions.update(now_is.running, {"waitingFor": value}, now=NOW))
        stored = json.loads(client.get(keys.agent("running")))
        assert ("waitingFor" in stored) is (value is not None)


def events_of(client, kind):
    entries = [json.loads(fields["event"]) for _, fields in client.xrange(keys.EVENTS_STREAM)]
    return [each for each in entries if each["type"] == kind]


def test_a_usage_that_falls_is_reported_and_not_counted(store, client, now_is):
    spend = lambda usage: store.run(  # noqa: E731 - used in this test only
        agent_transitions.update(now_is.running, {"usage": usage, "summary": "s"}, now=NOW)
    )
    spend({"totalTokens": 9, "inputTokens": 9, "costUsd": 0.5})
    spend({"totalTokens": 10, "inputTokens": 8})
    agent = store.run(agents.read("running"))
    assert (agent.usage.total_tokens, agent.usage.cost_usd) == (9, 0.5)
    (warning,) = events_of(client, "agent.warning")
    assert warning["errorCode"] == "usage_refused"
    # A report without a cost leaves the cost.
    spend({"totalTokens": 11, "inputTokens": 9})
    assert store.run(agents.read("running")).usage.cost_usd == 0.5
    assert client.hget(keys.budget(NOW)["day"], "used") == "11"
    assert len(events_of(client, "agent.warning")) == 1


def test_soft_mode_warns_once_when_an_agent_reaches_its_limit(store, client, now_is):
    store.run(budget.set_limits({"agent": 10, "mode": "soft"}, now=NOW))
    for tokens, warnings in ((9, 0), (10, 1), (12, 1)):
        usage = {"usage": {"totalTokens": tokens}}
        moved = store.run(agent_transitions.update(now_is.running, usage, now=NOW))
        assert moved.overrun == ""
        assert len(events_of(client, "agent.warning")) == warnings
    store.run(budget.set_limits({"mode": "hard"}, now=NOW))
    usage = {"usage": {"totalTokens": 13}}
    assert store.run(agent_transitions.update(now_is.running, usage, now=NOW)).overrun
    assert not store.run(agent_transitions.update(now_is.running, {}, now=NOW)).overrun
    assert len(events_of(client, "agent.warning")) == 1


def test_a_phase_that_changes_is_an_event_and_one_that_stays_is_none(store, client, now_is):
    phases = len(events_of(client, "agent.phase"))
    store.run(agent_transitions.update(now_is.running, {"summary": "s"}, now=NOW))
    assert len(events_of(client, "agent.phase")) == phases
    store.follow(changes.put_change("running", now_is.running.attempt, b"change"))
    store.run(agent_transitions.enqueue_for_gates(now_is.running, {}, now=NOW, tag="t"))
    assert len(events_of(client, "agent.phase")) == phases + 1
    waits = store.run(agents.read("running"))
    store.run(agent_transitions.end(waits, Status.FAILED, now=NOW, tag="t"))
    # The event of the end names the phase itself.
    assert len(events_of(client, "agent.phase")) == phases + 1
    assert len(events_of(client, "agent.failed")) == 1


def test_a_task_follows_the_moves_of_its_latest_agent(store, client, now_is):
    key = keys.task("t")
    task = json.loads(client.get(key))
    client.set(key, json.dumps({**task, "agentId": "running"}))
    store.run(agent_transitions.end(now_is.running, Status.COMPLETED, now=NOW, tag="t"))
    assert json.loads(client.get(key))["status"] == "completed"
    client.set(key, json.dumps({**task, "agentId": "a later one"}))
    before = client.get(key)
    store.run(agent_transitions.end(now_is.queued, Status.FAILED, now=NOW, tag="t"))
    assert client.get(key) == before


def test_an_end_returns_all_that_an_agent_holds(store, client, now_is):
    named = keys.budget(NOW)
    store.run(agent_transitions.end(now_is.running, Status.COMPLETED, now=NOW, tag="t"))
    assert client.zscore(keys.LEASES, "running") is None
    assert client.zscore(keys.SLOTS, "running") is None
    assert not client.hexists(named["reserved"], "running")
    left = client.hgetall(named["reserved"])
    assert int(left.pop("*")) == sum(map(int, left.values()))
    index = keys.index()
    assert client.zscore(index["running"], "running") is None
    assert client.zscore(index["completed"], "running") is not None


def test_a_delayed_agent_is_so_until_its_next_move(store, client, now_is):
    waits = now_is.queued
    store.run(agent_transitions.delay(waits, until=LATER, now=NOW))
    assert client.zscore(keys.DELAYED, "queued") is not None
    store.run(agent_transitions.claim(waits, "w@h", "1:1", lease_s=30, now=NOW))
    assert client.zscore(keys.DELAYED, "queued") is None
    assert store.run(agents.read("queued")).attempt == 1
