"""All writers append to one chain, whoever writes at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from orchestrator.audit.log import Audit, read_entries
from orchestrator.control.submit import SubmitService
from orchestrator.errors import IdempotencyConflict
from orchestrator.store import keys
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.audit import Answer
from orchestrator.wiring import clock, new_id
from tests.integration.audit.conftest import KEY, note


def test_writers_at_once_make_one_unbroken_chain(store, audit):
    def write(thread):
        for n in range(25):
            store.follow(audit.append([note(f"{thread}-{n}")]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    verdict = store.follow(audit.verify())
    assert (verdict.intact, verdict.entries) == (True, 200), verdict
    entries = store.follow(read_entries(limit=1000))
    assert [entry.seq for entry in entries] == list(range(1, 201))
    assert {entry.agent_id for entry in entries} == {
        f"{t}-{n}" for t in range(8) for n in range(25)
    }


def test_a_batch_stands_together_in_its_order_however_long(store, audit):
    store.follow(audit.append([note("before")]))
    written = store.follow(audit.append([note(f"a-{n}") for n in range(1203)]))
    assert store.follow(audit.append([])) == ()
    verdict = store.follow(audit.verify())
    assert (verdict.intact, verdict.entries) == (True, 1204)
    entries = store.follow(read_entries(limit=1203))
    assert [(e.seq, e.agent_id) for e in entries] == [(e.seq, e.agent_id) for e in written]
    assert store.follow(read_entries(limit=2, agent_id="a-0")) == (entries[0],)


def test_appending_goes_on_while_the_chain_is_checked(store, audit):
    flow = audit.verify()
    operation = next(flow)
    verdict = None
    while verdict is None:
        reply = store.run(operation)
        if sum(1 for _ in store.follow(read_entries(limit=9))) < 9:
            store.follow(audit.append([note()]))
        try:
            operation = flow.send(reply)
        except StopIteration as end:
            verdict = end.value
    assert verdict.intact
    assert verdict.entries >= 2


def test_both_executors_write_and_check_the_same_chain(valkey_url, store, audit):
    async def use():
        opened = AsyncStore(valkey_url)
        try:
            await opened.follow(audit.append([note()]))
            return await opened.follow(audit.verify())
        finally:
            await opened.close()

    store.follow(audit.append([note()]))
    assert asyncio.run(use()).entries == 2


def until_append(store, flow):
    """The head and what waits are read: give the operation that appends."""
    return flow.send(store.run(flow.send(store.run(next(flow)))))


def test_an_append_sent_twice_stands_once(store, audit):
    """As after a lost reply; another's entry has come in meanwhile."""
    flow = audit.append([note("twice"), note("twice")])
    append = until_append(store, flow)
    assert store.run(append)[0] is Answer.APPENDED
    store.follow(audit.append([note("other")]))
    with suppress(StopIteration):
        flow.send(store.run(append))
        pytest.fail("it was appended again")
    agents = [entry.agent_id for entry in store.follow(read_entries(limit=9))]
    assert agents == ["twice", "twice", "other"]


def test_twins_of_one_instant_are_both_kept(store):
    """Two terminals that say the same in the same millisecond did it twice."""
    now = clock()
    one, other = (Audit(KEY, lambda: now, new_id).append([note()]) for _ in range(2))
    appends = [until_append(store, flow) for flow in (one, other)]
    assert store.run(appends[0])[0] is Answer.APPENDED
    late = store.run(appends[1])
    assert late[0] is Answer.LATE
    waiting = other.send(late)
    with suppress(StopIteration):
        other.send(store.run(other.send(store.run(waiting))))
    assert len(store.follow(read_entries(limit=9))) == 2


BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


def reported(store):
    entries = store.follow(read_entries(limit=1000))
    return [(entry.action, entry.who, entry.agent_id) for entry in entries]


def test_a_spawn_is_noted_with_its_registration_and_once(store, client, audit):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    for _ in range(2):
        first = store.run(door.submit(BODY, agent_id="a-1", by="ann"))
        second = store.run(door.submit(BODY, agent_id="a-2", idempotency_key="k", by="bob"))
        assert (first.agent_id, second.agent_id) == ("a-1", "a-2")
    with pytest.raises(IdempotencyConflict):
        store.run(door.submit({**BODY, "priority": 9}, idempotency_key="k", by="bob"))
    # What is told later comes behind it in the chain.
    store.follow(audit.append([note("a-1")]))
    assert reported(store) == [
        ("spawn", "ann", "a-1"),
        ("spawn", "bob", "a-2"),
        ("kill", "ann", "a-1"),
    ]
    (spawned, *_) = store.follow(read_entries(limit=9))
    assert (spawned.task_id, spawned.scope) == ("t-1", "/srv/git/x.git main")
    store.follow(audit.append_waiting())
    assert store.follow(audit.verify()).entries == 3
    assert not client.exists(keys.AUDIT_WAITING)


def test_what_waits_is_taken_in_once_and_in_its_order_whoever_does(store, client, audit):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)

    def work(thread):
        for n in range(20):
            store.run(door.submit(BODY, agent_id=f"{thread}-{n}", by="ann"))
            store.follow(audit.append_waiting())
            store.follow(audit.append([note(f"{thread}-{n}")]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    verdict = store.follow(audit.verify())
    assert (verdict.intact, verdict.entries) == (True, 320), verdict
    by_agent = defaultdict(list)
    for action, _, agent_id in reported(store):
        by_agent[agent_id].append(action)
    assert len(by_agent) == 160
    assert all(actions == ["spawn", "kill"] for actions in by_agent.values())
    assert not client.exists(keys.AUDIT_WAITING)


def test_a_draft_that_is_none_is_kept_as_such_and_keeps_nobody_out(store, client, audit):
    client.rpush(keys.AUDIT_WAITING, b"\xff{")
    store.follow(audit.append_waiting())
    (entry,) = store.follow(read_entries(limit=9))
    assert (entry.action, entry.why) == ("unreadable", "\ufffd{")
    assert store.follow(audit.verify()).intact
