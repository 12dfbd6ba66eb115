"""The lists of agents by status: every move keeps them, and a cursor keeps its place in them."""

from __future__ import annotations

import pytest

from orchestrator.errors import CursorUnknown
from orchestrator.models import Status
from orchestrator.store import agent_index, agent_transitions, keys, kills
from orchestrator.store.retention import remove_agent
from tests.script_calls import NOW


def lists(client) -> dict[str, list[str]]:
    found = {name: client.zrange(key, 0, -1) for name, key in keys.lists().items()}
    return {name: ids for name, ids in found.items() if ids}


def ids_after(store, after: str, status: Status) -> list[str]:
    return store.run(agent_index.ids_after(after, 10, status=status))


def test_an_agent_is_in_the_list_of_its_status_alone(store, client, now_is):
    assert lists(client) == {
        "killed": ["killed"],
        "running": ["running"],
        "spawning": ["delayed", "queued"],
    }
    store.run(agent_transitions.end(now_is.running, Status.COMPLETED, now=NOW, tag="t"))
    order = kills.KillOrder(by="ann", why="")
    store.run(kills.kill([now_is.queued], order, now=NOW, tags=["t"]))
    assert lists(client) == {
        "completed": ["running"],
        "killed": ["killed", "queued"],
        "spawning": ["delayed"],
    }
    spawned = client.zscore(keys.AGENTS, "running")
    assert client.zscore(keys.listed("completed"), "running") == spawned


def test_the_retention_removes_an_agent_from_its_list(store, client, now_is):
    store.follow(remove_agent("killed", Status.KILLED))
    assert "killed" not in lists(client)


@pytest.mark.parametrize("gone", ["b", "d", "b\xff", "a"])
def test_a_cursor_that_left_the_status_keeps_its_place(store, client, gone):
    """Agents of the same millisecond are in the order of their ids, by bytes."""
    order = ["a", "B", "b", "b\xff", "c", "d", "e"]
    client.zadd(keys.AGENTS, dict.fromkeys(order, 5) | {"older": 4, "newer": 6})
    client.zadd(keys.listed("failed"), dict.fromkeys(order, 5) | {"older": 4, "newer": 6})
    before = ids_after(store, gone, Status.FAILED)
    client.zrem(keys.listed("failed"), gone)
    assert ids_after(store, gone, Status.FAILED) == before
    assert before[-1] == "older"


def test_a_cursor_of_no_agent_is_refused(store, now_is):
    with pytest.raises(CursorUnknown):
        ids_after(store, "nobody", Status.RUNNING)
    assert ids_after(store, "queued", Status.KILLED) == ["killed"]
