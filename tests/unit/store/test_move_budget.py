"""`transition.lua`: what a move changes of slots, of what waits for one, and of the day's sums."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from orchestrator.errors import ArgumentRefused, NoSlotFree
from orchestrator.messages import SPAWN_QUEUE, SPAWN_TASK, StageMessage
from orchestrator.models import Status
from orchestrator.store import agent_transitions, agents, budget, keys
from orchestrator.store.transition import Move, move
from tests.script_calls import NOW, USAGE, arguments_of, with_arguments

LATER = NOW + timedelta(seconds=90)


def sums_of_outcomes(client):
    day = client.hgetall(keys.budget(NOW)["day"])
    return {name: value for name, value in day.items() if name.endswith(":agents")}


def spent(store, agent):
    store.run(agent_transitions.update(agent, {"usage": USAGE}, now=NOW))
    return store.run(agents.read(agent.agent_id))


def recovered(store, agent):
    """Put an agent back to the queue for its next attempt."""
    step = agent_transitions.recover(agent, continues=1, counts=True, delay_s=0, now=NOW, tag="t")
    store.run(step)
    return store.run(agents.read(agent.agent_id))


@pytest.mark.parametrize("awaited", [None, 5])
def test_a_move_tells_where_its_message_is_awaited_and_only_then(store, client, now_is, awaited):
    if awaited is None:
        step = agent_transitions.enqueue_for_gates(now_is.running, {}, now=NOW, tag="t")
    else:
        step = agent_transitions.update(now_is.running, {"summary": "s"}, now=NOW)
    document, *rest = arguments_of(step)
    changed = json.dumps({**json.loads(document), "awaited": awaited, "needsChange": False})
    before = {name: client.dump(name) for name in client.keys("*")}
    with pytest.raises(ArgumentRefused, match=re.escape("move.awaited")):
        store.run(with_arguments(step, (changed, *rest)))
    assert {name: client.dump(name) for name in client.keys("*")} == before


def test_an_agent_that_starts_again_is_no_outcome_of_the_day(store, client, now_is):
    waits = recovered(store, spent(store, now_is.running))
    store.run(agent_transitions.claim(waits, "w@h", "1:1", lease_s=30, now=NOW))
    claimed = store.run(agents.read("running"))
    store.run(agent_transitions.start(claimed, base_commit="c", lease_s=30, now=NOW))
    assert sums_of_outcomes(client) == {}
    started = store.run(agents.read("running"))
    store.run(agent_transitions.end(started, Status.FAILED, now=NOW, tag="t"))
    assert sums_of_outcomes(client) == {"in_nothing:agents": "1"}


def test_an_outcome_counts_once_however_often_its_status_is_set(store, client, now_is):
    runs = spent(store, now_is.running)
    for source in (Status.RUNNING, Status.FAILED):
        step = Move(sources=(source,), to=Status.FAILED, message=None)
        store.run(move(runs, step, now=NOW, tag="t"))
    assert sums_of_outcomes(client) == {"in_nothing:agents": "1"}


def test_a_released_agent_has_no_open_request(store, client, now_is):
    requests = keys.budget(NOW)["requests"]
    assert client.hexists(requests, "running")
    recovered(store, now_is.running)
    assert not client.hexists(requests, "running")
    assert int(client.hget(requests, "*") or 0) == 0


def test_a_claim_takes_the_agent_from_those_whose_message_is_awaited(store, client, now_is):
    awaiting = keys.budget(NOW)["awaiting"]
    assert client.zscore(awaiting, "queued") is not None
    store.run(
        move(
            now_is.queued,
            Move(
                sources=(Status.SPAWNING,),
                takes_slot=True,
                message=StageMessage(SPAWN_TASK, SPAWN_QUEUE, "queued", 5),
            ),
            now=NOW,
            tag="t",
        )
    )
    assert client.zscore(awaiting, "queued") is None


def test_a_claim_without_a_slot_calls_those_that_a_lost_call_left(store, client, now_is):
    """A slot is free and more urgent agents wait, whose message was never sent."""
    named = keys.budget(NOW)
    client.zadd(named["waiting"], {"delayed": 1})
    client.hset(named["uncalled"], "delayed", '{"headers": {}}')
    store.run(budget.set_limits({"concurrency": 2}, now=NOW))
    client.zadd(named["waiting"], {"delayed": 1})
    client.hset(named["uncalled"], "delayed", '{"headers": {}}')
    with pytest.raises(NoSlotFree):
        store.run(agent_transitions.claim(now_is.queued, "w@h", "1:1", lease_s=30, now=NOW))
    assert not client.hexists(named["uncalled"], "delayed")
    assert client.hexists(named["uncalled"], "queued")


def test_a_delayed_agent_waits_for_no_slot(store, client, now_is):
    store.run(budget.set_limits({"concurrency": 1}, now=NOW))
    with pytest.raises(NoSlotFree):
        store.run(agent_transitions.claim(now_is.queued, "w@h", "1:1", lease_s=30, now=NOW))
    store.run(agent_transitions.delay(now_is.queued, until=LATER, now=NOW))
    named = keys.budget(NOW)
    assert client.zscore(named["waiting"], "queued") is None
    assert not client.hexists(named["uncalled"], "queued")
