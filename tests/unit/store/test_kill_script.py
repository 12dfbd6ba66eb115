"""`kill.lua` and `add_to_receipt.lua`: which agents a kill ends, and what it answers for others."""

from __future__ import annotations

import json
import re

import pytest

from orchestrator.errors import ArgumentRefused
from orchestrator.messages import CLEANUP_QUEUE, CLEANUP_TASK, queue_key, result_key
from orchestrator.models import Status
from orchestrator.store import agent_transitions, agents, keys, kills
from tests.script_calls import NOW, arguments_of, keys_of, with_arguments, with_keys

ORDER = kills.KillOrder(by="ann", why="enough")


def killed(store, *targets, tag="tag"):
    tags = [f"{tag}-{number}" for number in range(len(targets))]
    return store.run(kills.kill(targets, ORDER, now=NOW, tags=tags))


def written(client):
    """Return all that a kill could write."""
    names = client.keys("*")
    return {name: client.dump(name) for name in names if "delayed" not in name}


def test_an_agent_that_does_not_exist_has_no_receipt_and_no_cleanup(store, client, now_is):
    nobody = now_is.running.model_copy(update={"agent_id": "nobody"})
    before = written(client)
    assert [each.answer for each in killed(store, nobody)] == ["absent"]
    assert written(client) == before


@pytest.mark.parametrize("record", ["x", "[1]", ""])
def test_a_malformed_agent_hinders_the_kill_of_no_other(store, client, now_is, record):
    client.set(keys.agent("queued"), record)
    ended = killed(store, now_is.queued, now_is.running, now_is.delayed)
    assert [each.answer for each in ended] == ["malformed", "killed", "killed"]
    assert client.get(keys.agent("queued")) == record
    assert not client.exists(keys.receipt("queued"))


def test_an_agent_that_cannot_be_written_back_is_left_as_it_is(store, client, now_is):
    client.set(keys.agent("queued"), '{"status":"spawning","usage":1e999}')
    ended = killed(store, now_is.queued, now_is.running)
    assert [each.answer for each in ended] == ["malformed", "killed"]
    assert not client.exists(keys.receipt("queued"))
    assert client.zscore(keys.index()["spawning"], "queued") is not None


def test_an_agent_that_has_ended_stays_as_it_ended(store, client, now_is):
    store.run(agent_transitions.end(now_is.running, Status.COMPLETED, now=NOW, tag="t"))
    before = written(client)
    (ended,) = killed(store, now_is.running)
    assert (ended.answer, ended.agent.status) == ("ended", Status.COMPLETED)
    assert written(client) == before
    assert store.run(agents.read("running")).status is Status.COMPLETED


def test_a_kill_sent_again_answers_as_before_and_another_one_does_not(store, client, now_is):
    first = killed(store, now_is.running, now_is.queued)
    assert [(each.answer, each.is_held) for each in first] == [("killed", True), ("killed", False)]
    before = written(client)
    assert killed(store, now_is.running, now_is.queued) == first
    assert [each.answer for each in killed(store, now_is.running, tag="other")] == ["ended"]
    # Without its receipt, whose retention may have ended, the answer is the plain one.
    client.delete(keys.receipt("running"))
    assert [each.answer for each in killed(store, now_is.running)] == ["ended"]
    before.pop(keys.receipt("running"))
    assert written(client) == before


def test_only_an_agent_that_a_worker_holds_waits_for_a_confirmation(store, client, now_is):
    killed(store, now_is.running, now_is.queued)
    waiting = client.zrange(keys.UNCONFIRMED, 0, -1)
    assert "running" in waiting
    assert "queued" not in waiting
    idle = json.loads(client.get(keys.receipt("queued")))
    assert (idle["confirmed"], idle["confirmedBy"], idle["durationMs"]) == (True, "state", 0)
    held = json.loads(client.get(keys.receipt("running")))
    assert "confirmed" not in held
    (entry,) = client.xrevrange(keys.KILLS, count=1)
    assert json.loads(entry[1]["agents"]) == ["running"]


def test_a_kill_of_agents_that_no_worker_holds_wakes_no_worker(store, client, now_is):
    entries = client.xlen(keys.KILLS)
    killed(store, now_is.queued, now_is.delayed)
    assert client.xlen(keys.KILLS) == entries
    assert client.zrange(keys.DELAYED, 0, -1) == []


def test_a_task_follows_its_latest_agent_only(store, client, now_is):
    task_key = keys.task(now_is.running.task_id)
    task = json.loads(client.get(task_key))
    client.set(task_key, json.dumps({**task, "agentId": "a later one"}))
    before = client.get(task_key)
    killed(store, now_is.running)
    assert client.get(task_key) == before
    for record in (None, "x"):
        client.delete(task_key)
        if record:
            client.set(task_key, record)
        (ended,) = killed(store, now_is.queued if record else now_is.delayed)
        assert ended.answer == "killed"
        assert client.get(task_key) == record


def test_a_task_of_the_killed_agent_fails_with_it(store, client, now_is):
    task_key = keys.task(now_is.running.task_id)
    task = json.loads(client.get(task_key))
    client.set(task_key, json.dumps({**task, "agentId": "running"}))
    killed(store, now_is.running)
    assert json.loads(client.get(task_key))["status"] == "failed"


def test_a_kill_frees_the_slot_and_moves_the_agent_between_the_indexes(store, client, now_is):
    assert client.zscore(keys.SLOTS, "running") is not None
    killed(store, now_is.running)
    assert client.zscore(keys.SLOTS, "running") is None
    assert client.zscore(keys.LEASES, "running") is None
    index = keys.index()
    assert client.zscore(index["running"], "running") is None
    assert client.zscore(index["killed"], "running") is not None


def order_of(now_is):
    call = kills.kill([now_is.queued, now_is.running], ORDER, now=NOW, tags=["a", "b"])
    document, *rest = arguments_of(call)
    return call, json.loads(document), rest


@pytest.mark.parametrize("targets", [["x", "x"], [1, 2], []])
def test_targets_that_are_no_objects_are_refused(store, client, now_is, targets):
    call, order, rest = order_of(now_is)
    before = written(client)
    wrong = with_arguments(call, (json.dumps({**order, "agents": targets}), *rest))
    with pytest.raises(ArgumentRefused, match="agents"):
        store.run(wrong)
    assert written(client) == before


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("event", {"type": "", "timestamp": "t"}, "order.event.type"),
        ("awaited", -1, "order.agents.1.awaited"),
        ("message", "x", "order.agents.1.message"),
        ("before", "x", "order.agents.1 result"),
    ],
)
def test_a_malformed_order_kills_nobody(store, client, now_is, name, value, named):
    call, order, rest = order_of(now_is)
    first, *others = order["agents"]
    changed = {**order, "agents": [{**first, name: value}, *others]}
    if name == "event":
        changed = {**order, name: value}
    before = written(client)
    with pytest.raises(ArgumentRefused, match=re.escape(named)):
        store.run(with_arguments(call, (json.dumps(changed), *rest)))
    assert written(client) == before


def test_a_kill_stores_and_publishes_the_result(store, client, now_is):
    key = result_key("running")
    with client.pubsub() as heard:
        heard.subscribe(key)
        assert heard.get_message(timeout=60)["type"] == "subscribe"
        killed(store, now_is.running)
        published = heard.get_message(timeout=60)["data"]
    assert client.get(key) == published
    assert client.ttl(key) > 0
    assert json.loads(published)["result"]["status"] == "killed"


def test_a_kill_sends_the_message_of_its_cleanup(store, client, now_is):
    queue = queue_key(CLEANUP_QUEUE, now_is.running.priority)
    before = client.lrange(queue, 0, -1)
    killed(store, now_is.running)
    (sent,) = [each for each in client.lrange(queue, 0, -1) if each not in before]
    assert json.loads(sent)["headers"]["task"] == CLEANUP_TASK
    assert json.loads(sent)["headers"]["id"].startswith("running")


def test_an_order_has_as_many_targets_as_keys(store, client, now_is):
    call, order, rest = order_of(now_is)
    before = written(client)
    one = with_arguments(call, (json.dumps({**order, "agents": order["agents"][:1]}), *rest))
    fewer = with_keys(call, keys_of(call)[:-6])
    for wrong in (one, fewer):
        with pytest.raises(ArgumentRefused, match="as many as there are keys"):
            store.run(wrong)
    assert written(client) == before


@pytest.mark.parametrize("facts", [{"confirmed": True, "confirmedBy": "w"}, {"survivors": [1]}])
def test_a_confirmation_is_counted_once_and_first_facts_stay(store, client, now_is, facts):
    killed(store, now_is.running)
    assert store.run(kills.add_to_receipt("running", facts)) == "added"
    news = client.xlen(keys.KILL_ACKS)
    again = store.run(kills.add_to_receipt("running", {**facts, "confirmedBy": "another"}))
    assert again == ("again" if "confirmed" in facts else "added")
    receipt = json.loads(client.get(keys.receipt("running")))
    assert receipt["confirmedBy"] == ("w" if "confirmed" in facts else "another")
    assert client.xlen(keys.KILL_ACKS) == news
    assert ("running" in client.zrange(keys.UNCONFIRMED, 0, -1)) is ("confirmed" not in facts)


def test_a_kill_that_is_not_proven_is_news_once(store, client, now_is):
    killed(store, now_is.running)
    store.run(kills.add_to_receipt("running", {"survivors": [7]}))
    news = client.xlen(keys.KILL_ACKS)
    for _ in range(2):
        store.run(kills.add_to_receipt("running", {"unproven": "no cgroup"}))
        assert client.xlen(keys.KILL_ACKS) == news + 1
    receipt = json.loads(client.get(keys.receipt("running")))
    assert "survivors" not in receipt
    store.run(kills.add_to_receipt("running", {"survivors": [7]}))
    store.run(kills.add_to_receipt("running", {"confirmed": True, "confirmedBy": "w"}))
    receipt = json.loads(client.get(keys.receipt("running")))
    assert not {"survivors", "unproven"} & receipt.keys()
    assert client.xlen(keys.KILL_ACKS) == news + 2
    store.run(kills.add_to_receipt("running", {"unproven": "late"}))
    assert client.xlen(keys.KILL_ACKS) == news + 2


def test_the_duration_of_a_kill_is_that_of_its_first_confirmation(store, client, now_is):
    killed(store, now_is.running)
    key = keys.receipt("running")

    def receipt_of(facts, *, ordered_ms_ago):
        stored = json.loads(client.get(key))
        client.set(key, json.dumps({**stored, "clockMs": stored["clockMs"] - ordered_ms_ago}))
        store.run(kills.add_to_receipt("running", facts))
        return json.loads(client.get(key))

    assert "durationMs" not in receipt_of({"survivors": [7]}, ordered_ms_ago=10_000)
    # What a later look finds replaces what an earlier one found.
    assert receipt_of({"survivors": [8]}, ordered_ms_ago=0)["survivors"] == [8]
    first = receipt_of({"confirmed": True}, ordered_ms_ago=0)
    assert first["durationMs"] >= 10_000
    again = receipt_of({"confirmed": True, "confirmedBy": "w"}, ordered_ms_ago=50_000)
    assert (again["durationMs"], again["confirmedBy"]) == (first["durationMs"], "w")


def test_facts_for_an_agent_that_was_not_killed_are_not_kept(store, client, now_is):
    assert store.run(kills.add_to_receipt("queued", {"confirmed": True})) == "absent"
    assert not client.exists(keys.receipt("queued"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("endedMsAgo", value) for value in ("1 s", -1, -0.5, 1e16, [1], True)),
        *(("confirmed", value) for value in ("true", 1, [])),
        *(("unproven", value) for value in (True, 1, ["no cgroup"])),
    ],
)
def test_a_fact_of_another_kind_is_refused(store, client, now_is, name, value):
    killed(store, now_is.running)
    before = written(client)
    with pytest.raises(ArgumentRefused, match=name):
        store.run(kills.add_to_receipt("running", {name: value}))
    assert written(client) == before


@pytest.mark.parametrize("ended_ms_ago", [None, 0, 2.5, 10**9])
def test_the_time_of_a_kill_ends_with_the_last_process(store, client, now_is, ended_ms_ago):
    killed(store, now_is.running)
    facts = {"confirmed": True} | ({} if ended_ms_ago is None else {"endedMsAgo": ended_ms_ago})
    store.run(kills.add_to_receipt("running", facts))
    receipt = json.loads(client.get(keys.receipt("running")))
    # A process that ended before the request was not the last one.
    assert 0 <= receipt["durationMs"] < 10**6
    assert "endedMsAgo" not in receipt
