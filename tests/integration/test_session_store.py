"""Sessions in Valkey: what the SDK asks of a store, and an agent's session kept round by round."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from orchestrator.errors import RecordMalformed
from orchestrator.store import keys
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.operations import command, nothing
from orchestrator.store.session_store import ValkeySessionStore
from orchestrator.store.sessions import drop_sessions, keep_session, recall_session

SESSION_ID = "00000000-0000-4000-8000-000000000001"
KEY = {"project_key": "p:q", "session_id": "s"}
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def run(valkey_url, use):
    """Run a coroutine function with a store on an emptied Valkey that is closed afterwards."""

    async def main():
        store = AsyncStore(valkey_url)
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(main())


def test_the_sdk_s_own_conformance_suite_passes(valkey_url):
    testing = pytest.importorskip("claude_agent_sdk.testing", reason="needs the extra `claude`")

    async def conform(store):
        async def make():
            await store.run(command("FLUSHALL", decode=nothing))
            return ValkeySessionStore(store)

        await testing.run_session_store_conformance(make)

    run(valkey_url, conform)


def test_an_entry_sent_twice_is_held_once_and_nothing_in_a_name_reaches_another_session(valkey_url):
    entries = [{"type": "x", "uuid": "1", "text": "\ud83d\u2028"}, {"type": "title"}]

    async def use(store):
        sessions = ValkeySessionStore(store)
        await sessions.append(KEY, entries)
        await sessions.append(KEY, entries)
        assert await sessions.load(KEY) == [*entries, {"type": "title"}]
        for other in (
            {"project_key": "p", "session_id": "q:s"},
            {"project_key": "p%3Aq", "session_id": "s"},
            {"project_key": "p:q:s", "session_id": ""},
        ):
            await sessions.append({**other, "subpath": "x"}, entries)
            await sessions.append(other, entries)
            await sessions.delete(other)
        assert len(await sessions.load(KEY)) == 3
        await sessions.delete(KEY)
        return await store.run(command("KEYS", "*", decode=list))

    assert run(valkey_url, use) == []


@pytest.mark.parametrize("entry", ["{", "[]", "[" * 100_000])
def test_an_entry_that_is_no_document_is_an_error_that_names_the_key(valkey_url, entry):
    async def use(store):
        key = keys.session_transcript("p:q", "s", "")
        await store.run(command("RPUSH", key, entry, decode=nothing))
        with pytest.raises(RecordMalformed, match=key):
            await ValkeySessionStore(store).load(KEY)

    run(valkey_url, use)


def test_each_attempt_keeps_its_own_session_until_all_are_dropped(store):
    """So a stale attempt overwrites nobody's, even if it names the same session."""
    main = tuple(json.dumps({"type": "x", "uuid": str(number)}) for number in range(1201))
    first = {"": main, "subagents/agent-1": ('{"type": "y"}', "no JSON at all")}
    second = {"": (*main, '{"type": "z"}')}
    for agent_id in ("a1", "a2"):
        store.follow(keep_session(agent_id, 1, SESSION_ID, first, now=NOW))
    store.follow(keep_session("a1", 2, SESSION_ID, second, now=NOW))
    assert store.follow(recall_session("a1", 1, SESSION_ID)) == first
    assert store.follow(recall_session("a1", 2, SESSION_ID)) == second
    assert store.follow(recall_session("a1", 3, SESSION_ID)) == {}
    assert store.follow(drop_sessions("a1", 2)) == 2
    assert store.follow(drop_sessions("a1", 2)) == 0
    assert store.follow(recall_session("a2", 1, SESSION_ID)) == first
    store.follow(drop_sessions("a2", 1))
    assert store.run(command("KEYS", "*", decode=list)) == []


def plain(count: int) -> list[str]:
    """Entries as most of a session file are: without a uuid, and some of them the same."""
    return [json.dumps({"type": "x", "of": number // 2}) for number in range(count)]


def kept_lines(store, *sessions) -> tuple[list[str], list[int]]:
    """Keep one attempt's session again and again; returns what is held, and entries sent each."""
    sent = []
    for entries in sessions:
        flow, count, reply = keep_session("a1", 1, SESSION_ID, {"": entries}, now=NOW), 0, None
        while True:
            try:
                operation = flow.send(reply)
            except StopIteration:
                break
            count += sum(str(part).startswith('{"type"') for part in operation.arguments)
            reply = store.run(operation)
        sent.append(count)
    return list(store.follow(recall_session("a1", 1, SESSION_ID)).get("", ())), sent


@pytest.mark.parametrize(
    ("counts", "sent"),
    [
        ((10, 10, 10), [10, 0, 0]),
        ((10, 12, 1200, 1201), [10, 2, 1188, 1]),
        ((1200, 600, 601), [1200, 600, 1]),
    ],
)
def test_each_entry_is_kept_once_however_often_a_session_is_kept(store, counts, sent):
    held, were_sent = kept_lines(store, *map(plain, counts))
    assert held == plain(counts[-1])
    assert were_sent == sent


def test_a_session_that_was_written_anew_is_kept_anew(store):
    changed = [*plain(4), '{"type": "other"}', *plain(5)[4:]]
    held, _ = kept_lines(store, plain(9), changed)
    assert held == changed


def test_a_call_whose_reply_was_lost_adds_nothing(store):
    """The executor sends it again."""
    flow = keep_session("a1", 1, SESSION_ID, {"": plain(3)}, now=NOW)
    operation = flow.send(store.run(next(flow)))
    for _ in range(3):
        assert store.run(operation) is True
    assert list(store.follow(recall_session("a1", 1, SESSION_ID))[""]) == plain(3)


def test_one_that_lags_behind_writes_its_own_whole(store):
    slow = keep_session("a1", 1, SESSION_ID, {"": plain(700)}, now=NOW)
    operation = slow.send(store.run(next(slow)))
    store.run(operation)
    store.follow(keep_session("a1", 1, SESSION_ID, {"": plain(5)}, now=NOW))
    second = slow.send(True)
    assert store.run(second) is False
    reply = False
    while True:
        try:
            reply = store.run(slow.send(reply))
        except StopIteration:
            break
    assert list(store.follow(recall_session("a1", 1, SESSION_ID))[""]) == plain(700)
