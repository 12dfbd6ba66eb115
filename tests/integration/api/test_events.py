"""The live feed of lifecycle events, as its clients meet it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from orchestrator.api.http import event_feed as feeding
from orchestrator.api.http.event_feed import Feed
from orchestrator.store import keys
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.operations import command, nothing
from tests.integration.api.conftest import frames, serving, spawn

pytestmark = pytest.mark.timeout(300)


def announce(store, number):
    """Append an event as our scripts do; returns its id."""
    document = json.dumps({"type": "agent.running", "agentId": f"a-{number}"})
    return store.run(
        command("XADD", keys.EVENTS_STREAM, "*", "event", document, decode=bytes.decode)
    )


def numbers(text):
    """The events of some frames, by number."""
    return [int(data["agentId"][2:]) for event, _, data in frames(text.split("\n")) if event]


@asynccontextmanager
async def feeding_from(url):
    store = AsyncStore(url)
    feed = Feed(store, is_stopping=lambda: False)
    try:
        async with feed.reading():
            yield feed
    finally:
        await store.close()


async def take(follower, count, seen=None):
    """Take frames until so many events have come; returns their numbers."""
    seen = [] if seen is None else seen
    async for text in follower:
        seen += numbers(text)
        if len(seen) >= count:
            return seen
    raise AssertionError(seen)


# ── over HTTP ───────────────────────────────────────────────────────────────────────────────


def test_a_follower_hears_what_happens_and_resumes_where_it_was_cut(valkey_url, store):
    with serving(valkey_url) as (api, process):
        with api.stream("GET", "/agents/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            assert next(lines).startswith("retry:")
            # A connection cut before the first event resumes from here.
            name, _, before = next(lines).partition(": ")
            assert name == "id"
            agent_id = spawn(api)
            event, last, data = next(frames(lines))
            assert (event, data["type"], data["agentId"]) == (
                "lifecycle", "agent.spawning", agent_id,
            )  # fmt: skip
        missed = [spawn(api) for _ in range(3)]
        for after, first in ((last, []), (before, [agent_id])):
            expected = [*first, *missed]
            with api.stream("GET", "/agents/events", headers={"Last-Event-ID": after}) as answer:
                followed = frames(answer.iter_lines())
                heard = [next(followed)[2]["agentId"] for _ in expected]
                assert heard == expected
                live = spawn(api)
                missed.append(live)
                assert next(followed)[2]["agentId"] == live
        bad = api.get("/agents/events", headers={"Last-Event-ID": "yesterday"})
        assert bad.status_code == 422
        with api.stream("GET", "/agents/events", params={"cursor": last}) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith(":")
            process.terminate()
            # The server that stops ends its followers.
            assert any(line.startswith("data:") for line in lines)


def test_who_was_away_for_too_long_is_told_to_read_the_state_anew(valkey_url, store):
    ids = [announce(store, number) for number in range(5)]
    store.run(command("XTRIM", keys.EVENTS_STREAM, "MINID", ids[2], decode=int))
    with serving(valkey_url) as (api, _):
        for after in (ids[0], ids[1], "99999999999999-0"):
            with api.stream("GET", "/agents/events", headers={"Last-Event-ID": after}) as answer:
                event, last, _ = next(frames(answer.iter_lines()))
                assert (event, last) == ("reset", ids[4])
        for after, expected in ((ids[2], 3), ("0-0", 2)):
            with api.stream("GET", "/agents/events", headers={"Last-Event-ID": after}) as answer:
                assert next(frames(answer.iter_lines()))[2]["agentId"] == f"a-{expected}"


def test_the_timeline_of_an_agent_is_its_events_and_what_was_done_to_it(valkey_url, store):
    with serving(valkey_url) as (api, _):
        agent_id, other = spawn(api), spawn(api)
        api.post(f"/agents/{other}/kill")
        api.post(f"/agents/{agent_id}/kill", json={"reason": "enough"})
        found = api.get(f"/agents/{agent_id}/timeline").json()
    assert [event["type"] for event in found["events"]] == ["agent.spawning", "agent.killed"]
    assert {event["agentId"] for event in found["events"]} == {agent_id}
    done = [(entry["action"], entry["why"]) for entry in found["audit"]]
    assert done == [("spawn", ""), ("kill", "enough")]


# ── the feed itself ─────────────────────────────────────────────────────────────────────────


async def _slow_and_fast(url, store):
    async with feeding_from(url) as feed:
        await feed.begin("")
        start = announce(store, 0)
        slow, fast = feed.follow("0-0"), feed.follow(start)
        assert numbers(await anext(slow)) == [0]
        # The slow one takes nothing meanwhile; more passes than is kept in memory for it.
        seen = []
        for number in range(1, 60):
            announce(store, number)
            seen = await asyncio.wait_for(take(fast, number, seen), 10)
        assert seen == list(range(1, 60))
        assert len(feed._places) < 59
        assert await asyncio.wait_for(take(slow, 59), 10) == list(range(1, 60))


def test_a_slow_follower_holds_nobody_up_and_loses_nothing(valkey_url, store, monkeypatch):
    monkeypatch.setattr(feeding, "KEPT", 8)
    asyncio.run(_slow_and_fast(valkey_url, store))


async def _one_connection(url, store):
    async with feeding_from(url) as feed:
        start = announce(store, 0)
        followers = [feed.follow(start) for _ in range(50)]
        waiting = [asyncio.create_task(take(follower, 1)) for follower in followers]
        blocked = 0
        while not blocked:
            await asyncio.sleep(0.01)
            blocked = store.run(
                command("INFO", "clients", decode=lambda info: info["blocked_clients"])
            )
        assert blocked == 1
        announce(store, 1)
        assert await asyncio.gather(*waiting) == [[1]] * 50


def test_fifty_followers_cost_valkey_one_reader(valkey_url, store):
    asyncio.run(_one_connection(valkey_url, store))


async def _silence(url):
    async with feeding_from(url) as feed:
        now, _ = await feed.begin("")
        assert (await anext(feed.follow(now))).startswith(":")


def test_silence_is_broken_by_comments(valkey_url, monkeypatch):
    monkeypatch.setattr(feeding, "HEARTBEAT_S", 0.05)
    asyncio.run(_silence(valkey_url))


async def _garbled(url, store):
    async with feeding_from(url) as feed:
        now, _ = await feed.begin("")
        follower = feed.follow(now)
        store.run(command("XADD", keys.EVENTS_STREAM, "*", "event", '{"a":\n\n1}', decode=nothing))
        frame = await anext(follower)
        assert frame.count("\n\n") == 1


def test_what_others_wrote_into_the_stream_cannot_break_out_of_its_frame(valkey_url, store):
    asyncio.run(_garbled(valkey_url, store))


def test_a_probe_of_a_stream_has_its_head_and_leaves_none_open(valkey_url, store):
    """Load balancers send HEAD, and read no event: each probe held one of the open streams."""
    with serving(valkey_url) as (client, _):
        for path in ("/agents/events", f"/agents/{spawn(client)}/logs"):
            probed = client.head(path, headers={"Accept": "text/event-stream"}, timeout=60)
            assert probed.status_code == 200
            assert probed.headers["content-type"].startswith("text/event-stream")
            assert not probed.content
