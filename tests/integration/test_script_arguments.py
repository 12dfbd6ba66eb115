"""No script stops half done: each malformed argument is refused before the first write."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from orchestrator.errors import ArgumentRefused, RecordMalformed
from orchestrator.models import Status
from orchestrator.store import agent_transitions, agents, budget, keys, kills
from orchestrator.store.scripts import script_names
from tests.script_calls import (
    NOW,
    USAGE,
    arguments_of,
    calls,
    keys_of,
    seed,
    with_arguments,
    with_keys,
)

NO_NUMBERS = ("", " ", "x", "nan", "inf", "-inf", "-1", "1e308", "0.5", "0x10", "1 ", "9" * 19)
NOT_FINITE = ("NaN", "Infinity", "-Infinity", "1e999")
NO_OBJECTS = ("", "x", "{", "[]", "[1]", "null", "1", '"x"', "true", "{}}")
#: Of lists of texts.
NO_TEXTS = ("", "x", "{}", '{"1": "x"}', "[", "null", "1", "[1]", '[""]', '["x", null]', "[[]]")
#: Of objects whose fields have kinds: what none of these kinds is.
NO_KIND = (-1, 0.5, 1e308, [], {"x": 1}, [1], None)
NO_WHOLE = (-1, 0.5, 1e308, "1", True)
REQUIRED = ("agentId", "from", "timestamp", "nowMs", "patch", "agents", "receipt", "outcome")
NO_TOKENS = (-1, 0.5, 1e308, "40", True, None, [], {})
NO_COST = (-0.01, 1e308, 1e7, "1", True, None, [], {})
#: Position of an argument that may be any text, and is compared or looked up only.
FREE = {
    "append_audit": {0},
    "ids_after": {0},
    "append_session": {0, 2, 4},
    "drop_session": {0},
    "name_object": {3},
    "events_with": {0},
    "register": {13},
}
#: Scripts that write nothing, but for the expiry of a key.
READS = {
    "ids_after",
    "events_with",
    "read_trail",
    "missing_messages",
    "hold_object",
    "read_transcript",
    "read_log",
}
#: Objects whose every field has a kind, by their position.
STRICT = {"transition": 0, "kill": 0}


@pytest.fixture
def client(valkey_url) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_url) as connection:
        yield connection


@pytest.fixture
def now_is(store):
    return seed(store)


def snapshot(client: redis.Redis) -> dict[bytes, bytes]:
    names = sorted(client.keys("*"))
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.dump(name)
    return dict(zip(names, pipe.execute(), strict=True))


def script_of(label: str) -> str:
    return label.partition(" ")[0]


def object_in(value: Any) -> dict[str, Any] | None:
    try:
        document = json.loads(value)
    except (ValueError, TypeError):
        return None
    return document if isinstance(document, dict) else None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def malformed(label: str, arguments: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield every malformed version of these arguments."""
    name = script_of(label)
    yield (*arguments, "one too many", "two too many", "three too many")[: len(arguments) + 1]
    for position, value in enumerate(arguments):
        before, after = arguments[:position], arguments[position + 1 :]
        if name != "recount" and not (name == "append_log" and position > 1):
            yield (*before, *after)
        for other in _malformed_values(name, position, value):
            yield (*before, other, *after)


def _malformed_values(name: str, position: int, value: Any) -> Iterator[Any]:
    if position in FREE.get(name, ()):
        return
    if is_number(value):
        yield from (
            bad
            for bad in NO_NUMBERS
            if not (name == "aggregate" and bad in {"0.5", "1e308", "9" * 19})
        )
        return
    document = object_in(value)
    if document is None:
        is_list = name in {"close_requests", "touch"} and value.startswith("[")
        yield from NO_TEXTS if is_list else ("" if value else "x",)
        return
    if name == "append_log":
        yield from ("", "x", "{", "[]")
        return
    if name != "append_session":
        yield from NO_OBJECTS
        yield from _not_finite(document)
    if STRICT.get(name) == position:
        yield from _wrong_fields(document)
    if name == "set_limits" and position == 0:
        for limit in ("daily", "agent", "dailyUsd", "time", "mode"):
            for bad in (0, -1, 1e308, "5", "", "Hard", True, [], {}):
                yield json.dumps({**document, limit: bad})
        yield json.dumps({**document, "unknown": 5})


def _not_finite(document: dict[str, Any]) -> Iterator[str]:
    """Put what is no finite number in place of each value, however deep."""
    for path in _paths(document):
        for word in NOT_FINITE:
            changed = copy.deepcopy(document)
            _put(changed, path, "@@")
            yield json.dumps(changed).replace('"@@"', word, 1)


def _wrong_fields(document: dict[str, Any]) -> Iterator[str]:
    """Put what is of another kind in place of each field, leave out each that must be there."""
    yield json.dumps({**document, "unknown": 1})
    for field, value in document.items():
        # To cjson an empty list is an empty object, and a null in a list is left to its reader.
        others = [bad for bad in NO_KIND if type(bad) is not type(value)]
        if isinstance(value, dict | list):
            others = [bad for bad in (*others, [1]) if bad != []]
        for bad in (*others, *(NO_WHOLE if is_number(value) else ())):
            yield json.dumps({**document, field: bad})
        if field in REQUIRED:
            yield json.dumps({name: one for name, one in document.items() if name != field})
    if "usage" in document.get("patch", {}):
        yield from _wrong_patches(document)


def _wrong_patches(document: dict[str, Any]) -> Iterator[str]:
    usage = document["patch"]["usage"]
    wrong = [{"usage": {**usage, "totalTokens": bad}} for bad in NO_TOKENS]
    wrong += [{"usage": {**usage, "costUsd": bad}} for bad in NO_COST]
    wrong += [{"usage": bad} for bad in ("x", 1, True, None)]
    wrong += [{fixed: "x"} for fixed in ("status", "agentId", "attempt", "taskId")]
    yield from (json.dumps({**document, "patch": patch}) for patch in wrong)


def _paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in items:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, name))


def _put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    for name in path[:-1]:
        document = document[name]
    document[path[-1]] = value


def test_every_script_has_a_call_here_and_each_call_writes(store, client, now_is):
    listed = calls(now_is)
    assert {script_of(label) for label in listed} == set(script_names())
    for label, operation in listed.items():
        client.flushall()
        seed(store)
        before = snapshot(client)
        store.run(operation)
        assert (snapshot(client) != before) is (label not in READS), label


LABELS = [
    "transition claim", "transition update", "transition end", "transition recover", "kill",
    "register", "register once", "refuse", "heartbeat", "release", "enqueue", "missing_messages",
    "set_limits", "recount",
    "add_to_receipt", "append_log", "append_audit", "append_session", "drop_session", "add_key",
    "revoke_key", "rate_limit", "aggregate", "touch", "ids_after",
    "events_with", "unlock", "hold_object", "put_piece", "name_object",
    "read_transcript", "read_log", "read_trail", "admit_request", "close_requests",
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_a_malformed_argument_changes_nothing(store, client, now_is, label):
    operation = calls(now_is)[label]
    before = snapshot(client)
    count = 0
    for arguments in malformed(label, arguments_of(operation)):
        if label in {"recount", "append_log"} and arguments[:-1] == arguments_of(operation):
            continue  # any number of these
        with pytest.raises(
            ArgumentRefused, match=rf"^{script_of(label)}: .*nothing was written\."
        ) as met:
            pytest.fail(f"{arguments} gave {store.run(with_arguments(operation, arguments))}")
        assert met.value.retryable is False
        count += 1
    assert count
    assert snapshot(client) == before


@pytest.mark.parametrize("label", LABELS)
def test_a_wrong_number_of_keys_changes_nothing(store, client, now_is, label):
    operation = calls(now_is)[label]
    before, names = snapshot(client), keys_of(operation)
    wrong = [()]
    if label not in {"drop_session", "name_object"}:
        wrong += [names[:-2], (*names, "orchestrator:x", "orchestrator:y")]
    if label not in {"drop_session", "register once"}:
        wrong.append(names[:-1])
    if label not in {"drop_session", "register", "transition update"}:
        wrong.append((*names, "orchestrator:x"))
    for some in wrong:
        with pytest.raises(ArgumentRefused):
            store.run(with_keys(operation, some))
    assert snapshot(client) == before


def test_a_record_that_cannot_be_written_back_is_refused_before_the_index_moves(
    store, client, now_is
):
    record = client.get(keys.agent("running")).replace(b'"rounds"', b'"x"')
    client.set(keys.agent("running"), record[:-1] + b',"ranS":1e999}')
    before = snapshot(client)
    with pytest.raises(RecordMalformed, match="agent:running"):
        store.run(calls(now_is)["transition end"])
    for text in (b"no JSON", b"[]", b"1", b""):
        client.set(keys.agent("running"), text)
        spoiled = snapshot(client)
        for label in ("transition end", "transition update", "heartbeat", "append_log"):
            with pytest.raises(RecordMalformed, match="agent:running"):
                store.run(calls(now_is)[label])
        assert snapshot(client) == spoiled
    client.set(keys.agent("running"), record[:-1] + b',"ranS":1e999}')
    assert snapshot(client) == before


@pytest.mark.parametrize("task", [b"no JSON", b"[]", b"1", b"", b'{"agentId":"killed","x":1e999}'])
def test_a_task_that_cannot_be_read_holds_up_no_end_of_its_agent(store, client, now_is, task):
    client.set(keys.task("t"), task)
    store.run(calls(now_is)["transition end"])
    ended = store.run(agents.read("running"))
    assert ended.status is Status.FAILED
    assert client.zscore(keys.status_index("failed"), "running") is not None
    assert client.zscore(keys.LEASES, "running") is None
    assert client.get(keys.task("t")) == task


def test_one_record_that_cannot_be_written_back_keeps_no_other_alive(store, client, now_is):
    record = client.get(keys.agent("queued"))
    client.set(keys.agent("queued"), record[:-1] + b',"x":1e999}')
    of_queued = {name for name in client.keys("*") if b"queued" in name}
    before = {name: client.dump(name) for name in of_queued}
    met = store.run(calls(now_is)["kill"])
    assert [one.answer for one in met] == ["malformed", "killed"]
    assert {name: client.dump(name) for name in of_queued} == before
    assert client.zscore(keys.status_index("spawning"), "queued") is not None
    assert client.hget(keys.RESERVED, "queued") is not None


@pytest.mark.parametrize("stored", ["inf", "nan", "x", "1e999", "-1e999", ""])
def test_a_number_of_the_budget_that_is_none_stops_no_move_half_way(store, client, now_is, stored):
    day = keys.budget_day(NOW)
    client.hset(day, mapping={"used": stored, "cost": stored, "cost:running": stored})
    client.hset(keys.RESERVED, mapping={"*": stored, "running": stored})
    client.hset(keys.BUDGET_LIMITS, mapping={"daily": stored, "agent": stored})
    client.hset(day, "delivered:tokens", stored)
    spent = store.run(budget.day_sums(NOW))
    assert (spent.tokens, spent.cost_usd, spent.outcomes["delivered"].tokens) == (0, 0.0, 0)
    assert store.run(budget.costs_of(["running", "queued"], NOW)) == [0.0, None]
    assert store.run(budget.reservations())["running"] == 0
    store.run(budget.apply_limits(NOW))
    assert store.run(calls(now_is)["register"]).is_new
    moved = store.run(calls(now_is)["transition update"])
    assert moved.state.usage.total_tokens == 40
    assert float(client.hget(day, "cost")) == 0.25
    assert int(client.hget(day, "used")) == 40
    store.run(calls(now_is)["kill"])
    assert store.run(agents.read("running")).status is Status.KILLED


@pytest.mark.parametrize("cost", [float("inf"), float("-inf"), float("nan"), 1e308, -1, "1"])
def test_a_cost_that_is_none_is_told_and_its_tokens_count_once(store, client, now_is, cost):
    """And what was known of the cost before stays."""
    running = now_is.running
    store.run(agent_transitions.update(running, {"usage": USAGE}, now=NOW))
    for _ in range(3):
        patch = {"usage": {"inputTokens": 50, "totalTokens": 50, "costUsd": cost}}
        store.run(agent_transitions.update(running, patch, now=NOW))
    usage = store.run(agents.read("running")).usage
    assert (usage.total_tokens, usage.cost_usd) == (50, 0.25)
    day = client.hgetall(keys.budget_day(NOW))
    assert (int(day[b"used"]), float(day[b"cost"])) == (50, 0.25)
    events = [fields[b"event"] for _, fields in client.xrange(keys.EVENTS_STREAM)]
    assert sum(b"usage_refused" in event for event in events) == 3


def test_what_the_overlap_left_of_older_versions_stops_no_warning(store, client, now_is):
    spoiled = {"x": "no JSON", "y": "[]", "v": '{"files": null}'}
    spoiled["z"] = '{"files": 1, "reported": 2}'
    client.hset(keys.touched("/srv/git/x.git"), mapping=spoiled)
    assert store.run(calls(now_is)["touch"]) == 1


def test_a_receipt_that_is_none_is_told_as_such(store, client, now_is):
    client.set(keys.receipt("killed"), "x")
    with pytest.raises(RecordMalformed, match="receipt:killed"):
        store.run(calls(now_is)["add_to_receipt"])
    assert store.run(kills.unconfirmed()) == ("killed",)


def test_half_a_character_of_an_agent_or_of_a_person_holds_up_no_move_and_no_kill(store, now_is):
    """A text that was cut in the middle of a surrogate pair, or an argument that is no UTF-8."""
    moved = store.run(agent_transitions.update(now_is.running, {"summary": "ok \ud83d"}, now=NOW))
    assert moved.state.summary == "ok ?"
    order = kills.KillOrder(by="ann", why="caf\udce9")
    (met,) = store.run(kills.kill([now_is.running], order, now=NOW, tags=["t"]))
    assert met.answer == "killed"
    assert store.run(kills.read_receipt("running")).why == "caf?"
