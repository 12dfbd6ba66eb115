"""Guards of scripts that record and read: what is refused, what is bounded, what is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.errors import ArgumentRefused
from orchestrator.models import KeyScope, LogLine
from orchestrator.store import (
    agent_logs,
    agent_transitions,
    api_keys,
    audit,
    budget,
    events,
    keys,
    metrics,
    overlap,
    rate_limits,
    sessions,
)
from orchestrator.store.api_keys import StoredKey
from orchestrator.store.transition import AWAITED_STEP
from tests.script_calls import NOW, USAGE, arguments_of, calls, keys_of, with_arguments, with_keys

MOST_FILES = 200


def written(client):
    return {name: client.dump(name) for name in client.keys("*")}


def answered(store, operation, *arguments):
    """Return the script's own answer to these arguments."""
    return store.run(replace(with_arguments(operation, arguments), decode=lambda reply: reply))


@pytest.mark.parametrize(
    ("script", "position", "value", "named"),
    [
        ("touch", 2, '{"type": ""}', "event.type"),
        ("record_capture", 0, "kept", "what"),
        ("record_capture", 1, '{"attempt": 1, "retained": [{"ref": "x"}]}', "report.retained"),
        ("record_capture", 1, '{"attempt": 1, "unfinished": [1]}', "report.unfinished"),
        ("record_capture", 1, '{"attempt": 1, "leftOut": 5}', "report.leftOut"),
        ("record_capture", 1, '{"attempt": 1, "leftOut": {"a": {}}}', "report.leftOut"),
        ("record_capture", 1, '{"attempt": 1, "leftOut": ["a"]}', "report.leftOut"),
        ("refuse", 2, '{"type": ""}', "event.type"),
        ("set_limits", 1, '{"timestamp": 5}', "event.timestamp"),
        ("read_log", 0, "DEL", "command"),
        ("read_log", 1, "(5", "id"),
    ],
)
def test_what_a_script_does_not_know_is_refused(
    store, client, now_is, script, position, value, named
):
    call = calls(now_is)[script]
    arguments = [*arguments_of(call)]
    arguments[position] = value
    before = written(client)
    with pytest.raises(ArgumentRefused, match=named.replace(".", r"\.")):
        store.run(with_arguments(call, tuple(arguments)))
    assert written(client) == before


@pytest.mark.parametrize(
    ("script", "more"),
    [
        ("record_capture", ("x",)),
        ("append_audit", ("{}",)),
        ("aggregate", ("name",)),
        ("aggregate", None),
        ("append_log", None),
        ("keep_session", None),
        ("essential", None),
        ("limit_provider", ("x",)),
    ],
)
def test_a_wrong_number_of_arguments_is_refused(store, client, now_is, script, more):
    call = calls(now_is)[script]
    arguments = () if more is None else (*arguments_of(call), *more)
    before = written(client)
    with pytest.raises(ArgumentRefused, match="arguments"):
        store.run(with_arguments(call, arguments))
    assert written(client) == before


def test_what_an_attempt_continues_from_is_named(store, client, now_is):
    call = calls(now_is)["record_capture"]
    before = written(client)
    with pytest.raises(ArgumentRefused, match=r"report\.change"):
        store.run(with_arguments(call, ("continued", '{"attempt": 1}', *arguments_of(call)[2:])))
    assert written(client) == before


def test_an_empty_list_is_a_list_of_texts_and_an_object_is_none(store, now_is):
    step = agent_transitions.update(now_is.running, {"summary": "s"}, now=NOW)
    document, *rest = arguments_of(step)

    def with_phases(phases):
        return with_arguments(step, (json.dumps({**json.loads(document), **phases}), *rest))

    store.run(with_phases({"outcome": []}))
    with pytest.raises(ArgumentRefused, match="outcome"):
        store.run(with_phases({"outcome": {"a": "b"}}))


def test_an_event_is_published_as_it_is_stored(store, client, now_is):
    with client.pubsub() as heard:
        heard.subscribe(keys.EVENTS_CHANNEL)
        assert heard.get_message(timeout=60)["type"] == "subscribe"
        store.run(agent_transitions.cleaned(now_is.killed, now=NOW))
        told = heard.get_message(timeout=60)["data"]
    ((_, newest),) = client.xrevrange(keys.EVENTS_STREAM, count=1)
    assert told == newest["event"]
    assert json.loads(told)["type"] == "agent.cleanup"


def test_a_day_that_is_spent_leaves_nothing_whatever_is_reserved(store, client, now_is):
    store.run(budget.set_limits({"daily": 100}, now=NOW))
    update = agent_transitions.update
    usage = {"usage": {**USAGE, "inputTokens": 100, "totalTokens": 100}}
    store.run(update(now_is.queued, usage, now=NOW))
    assert client.hexists(keys.budget(NOW)["reserved"], "running")
    moved = store.run(update(now_is.running, {"usage": {"totalTokens": 1}}, now=NOW))
    assert "Of today's 100 tokens" in moved.overrun


def test_what_is_counted_once_is_not_counted_again(store, client):
    add = metrics.aggregate
    assert store.run(add("events", {"stalls": 2}, after="", upto="5-0"))
    assert store.run(metrics.position_of("events")) == "5-0"
    assert not store.run(add("events", {"stalls": 2}, after="", upto="5-0"))
    assert not store.run(add("events", {"stalls": 2}, after="4-0", upto="9-0"))
    assert client.hget(keys.METRICS, "stalls") == "2"
    assert store.run(add("events", {"stalls": 3}, after="5-0", upto="9-0"))
    assert client.hget(keys.METRICS, "stalls") == "5"
    assert store.run(metrics.position_of("events")) == "9-0"


def test_files_of_an_agent_are_bounded_and_expire(store, client, now_is):
    touch = overlap._touch(now_is.running, [f"{n}.py" for n in range(MOST_FILES + 5)], [], now=NOW)
    store.run(touch)
    touched = keys.touched(now_is.running.repository)
    assert len(json.loads(client.hget(touched, "running"))["files"]) == MOST_FILES
    assert client.ttl(touched) > 0


def test_one_call_that_seeks_messages_ends_after_so_many(store, client, now_is):
    call = calls(now_is)["missing_messages"]
    client.zadd(keys.AWAITING, {"a": 1, "b": AWAITED_STEP + 1})
    client.lpush(keys_of(call)[1], *('{"id": "c"}',) * 3)
    assert answered(store, call, 0, 1, 1, 0) == [b"1"]
    assert answered(store, call, 0, 100, 100, 0)[0] == b""


@pytest.mark.parametrize(
    ("command", "start", "texts"), [("XRANGE", "-", "01"), ("XREVRANGE", "+", "21")]
)
def test_lines_are_read_from_either_end(store, now_is, command, start, texts):
    lines = [LogLine(at=NOW, source="stdout", text=str(number)) for number in range(3)]
    store.run(agent_logs.append_log("running", 1, lines, cap=100))
    read = calls(now_is)["read_log"]
    _, *entries = answered(store, read, command, start, 2, 10_000)
    assert [json.loads(fields[1])["text"] for _, fields in entries] == [*texts]
    after = entries[0][0].decode()
    _, following = answered(store, read, command, after, 1, 10_000)
    assert following == entries[1]


def test_a_key_is_added_once_and_requests_need_one_from_then_on(store, client):
    key = StoredKey(
        name="a", scopes=(KeyScope.READ,), created_at=NOW, created_by="ann", digest="0a"
    )
    assert store.run(api_keys.add_key(key))
    stored = client.hgetall(keys.KEYS)
    assert not store.run(api_keys.add_key(key.model_copy(update={"digest": "0b"})))
    assert client.hgetall(keys.KEYS) == stored
    assert store.run(api_keys.revoke_key("a"))
    assert store.run(api_keys.was_given())


def test_a_key_that_is_unknown_changes_nothing_when_it_is_revoked(store, client):
    assert not store.run(api_keys.revoke_key("a"))
    assert written(client) == {}


def test_an_entry_of_no_agent_has_no_trail(store, client):
    entry = (b'{"agentId": ""}', b"0a")
    answer, _ = store.run(audit.append(b"", b'{"seq": 1}', 1, [entry], 0, agent_ids=[]))
    assert answer is audit.Answer.APPENDED
    assert client.xlen(keys.AUDIT) == 1


def test_entries_after_the_head_are_no_chain_to_go_on_with(store, client):
    client.xadd(keys.AUDIT, {"entry": "{}", "mac": "0a"}, id="5-0")
    before = written(client)
    entry = (b"{}", b"0b")
    answer, _ = store.run(audit.append(b"", b'{"seq": 1}', 1, [entry], 0, agent_ids=[]))
    assert answer is audit.Answer.BROKEN
    assert written(client) == before


def test_an_agent_that_is_gone_has_no_log(store, client):
    line = LogLine(at=NOW, source="stdout", text="late")
    assert not store.run(agent_logs.append_log("nobody", 1, [line], cap=100))
    assert not client.exists(keys.log("nobody"))


def test_only_the_field_of_an_event_is_searched(store, client):
    client.xadd(keys.EVENTS_STREAM, {"note": "of a", "event": '{"agentId": "a"}'}, id="1-0")
    client.xadd(keys.EVENTS_STREAM, {"note": "of a", "event": "{}"}, id="2-0")
    found = answered(store, events.events_with("a", after="0-0", upto="+"), "a", "0-0", "+", 9)
    assert found == [b"", b"1-0", b'{"agentId": "a"}']


def test_entries_that_are_kept_once_more_are_kept_once(store, client):
    transcript = sessions.SessionTranscript("p", "s")
    assert store.run(sessions._keep(transcript, ["1"], "", "1:a", now=NOW))
    for _ in range(2):
        assert store.run(sessions._keep(transcript, ["2"], "1:a", "2:b", now=NOW))
    assert client.lrange(transcript.keys[0], 0, -1) == ["1", "2"]
    assert not store.run(sessions._keep(transcript, ["3"], "1:a", "3:c", now=NOW))
    # Without a mark of what is stored, all of it is replaced.
    assert store.run(sessions._keep(transcript, ["9"], "", "1:z", now=NOW))
    assert client.lrange(transcript.keys[0], 0, -1) == ["9"]


def test_a_record_cannot_name_an_object_without_its_keys(store, client, now_is):
    call = calls(now_is)["name_object"]
    before = written(client)
    with pytest.raises(ArgumentRefused, match="the number of keys"):
        store.run(with_keys(call, keys_of(call)[:1]))
    assert written(client) == before


def test_a_rate_is_limited_by_what_was_taken(store):
    waits = [store.run(rate_limits.consume("spawn", "ann", a_minute=2)) for _ in range(3)]
    assert waits[:2] == [0, 0]
    assert 0 < waits[2] <= 30_000


def test_a_read_ends_at_its_size_but_for_its_first_line(store, now_is):
    lines = [LogLine(at=NOW, source="stdout", text="x" * 100) for _ in range(3)]
    store.run(agent_logs.append_log("running", 1, lines, cap=100))
    read = calls(now_is)["read_log"]
    is_end, *entries = answered(store, read, "XRANGE", "-", 10, 1)
    assert (is_end, len(entries)) == (0, 1)
    is_end, *entries = answered(store, read, "XRANGE", "-", 10, 10_000)
    assert (is_end, len(entries)) == (1, 3)


def test_a_read_of_a_transcript_ends_at_its_size_but_for_its_first_item(store, now_is):
    transcript = sessions.SessionTranscript("p", "s")
    store.run(sessions._keep(transcript, ["first", "second"], "", "1:a", now=NOW))
    read = sessions._read_items(transcript, 0)
    assert answered(store, read, 0, 1) == [b"first"]
    assert answered(store, read, 0, 100) == [b"first", b"second"]
