"""Warnings of two agents in the same files: each says something new, and all of them stay few."""

from __future__ import annotations

import json

import pytest
import redis

from orchestrator.control.submit import SubmitService
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import AgentState
from orchestrator.stages.spawn.monitors.overlap import OverlapMonitor
from orchestrator.store import keys
from orchestrator.store.events import read_events
from orchestrator.store.overlap import FILES_LIMIT
from orchestrator.wiring import clock, new_id


@pytest.fixture
def overlap(store, tmp_path):
    """Follow a new agent's worktree, in which nothing has been touched yet."""
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    holder = AgentLeases(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)
    context = {"repository": "/srv/x.git", "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "context": context}

    def follow() -> OverlapMonitor:
        agent: AgentState = holder.claim(store.run(door.submit(body)).agent_id)
        worktree = tmp_path / agent.agent_id
        worktree.mkdir()
        return OverlapMonitor(holder, agent, worktree, begun_ns=0)

    return follow


@pytest.fixture
def reported(store):
    """Return what was told: the files by name, and how many more."""

    def read() -> list[tuple[tuple[str, ...], int | None]]:
        events = [entry.event for entry in store.run(read_events(after="0-0"))]
        warnings = [event for event in events if event.type == "agent.overlap"]
        for one, other in zip(warnings[::2], warnings[1::2], strict=True):
            assert (one.agent_id, one.other) == (other.other, other.agent_id), "both are told"
            assert (one.files, one.more_files) == (other.files, other.more_files)
        return [(event.files, event.more_files) for event in warnings[::2]]

    return read


def touch(overlap: OverlapMonitor, *paths: str) -> None:
    for path in paths:
        file = overlap.worktree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    overlap._next_s = 0  # its time has come
    overlap.check()


def next_attempt(overlap: OverlapMonitor) -> OverlapMonitor:
    return OverlapMonitor(overlap.holder, overlap.agent, overlap.worktree, begun_ns=0)


def test_two_agents_are_told_of_each_file_once(overlap, reported):
    one, other = overlap(), overlap()
    touch(one, "a", "b", "c")
    touch(other, "a", "d")
    assert reported() == [(("a",), None)]
    (other.worktree / "a").unlink()
    touch(other, "e")
    touch(other, "a")
    assert len(reported()) == 1, "one that was made again is no news"
    touch(other, "b")
    assert reported()[1:] == [(("b",), None)]
    touch(next_attempt(other), "a", "b", "c")
    assert reported()[2:] == [(("c",), None)]


def test_each_agent_has_the_warning_as_its_own_event(overlap, store):
    """So that a client that follows one agent, or its task, gets it whoever was first."""
    one, other = overlap(), overlap()
    touch(one, "a")
    touch(other, "a")
    found = [e.event for e in store.run(read_events(after="0-0")) if e.event.files]
    agents = (other.agent, one.agent)
    assert [event.agent_id for event in found] == [agent.agent_id for agent in agents]
    assert [event.task_id for event in found] == [agent.task_id for agent in agents]
    assert [event.attempt for event in found] == [agent.attempt for agent in agents]


def test_a_warning_names_some_files_and_who_shares_so_many_is_told_no_more(overlap, reported):
    paths = [f"{number:03}" for number in range(50)]
    one, other = overlap(), overlap()
    touch(one, *paths, "more")
    touch(other, *paths)
    assert reported() == [(tuple(paths[:20]), 30)]
    touch(other, "more")
    assert len(reported()) == 1


def test_one_look_tells_of_some_agents_and_passes_over_what_it_cannot_read(
    overlap, reported, valkey_url
):
    one = overlap()
    others = {f"another-{number}": '{"files": ["a"]}' for number in range(30)}
    with redis.Redis.from_url(valkey_url) as client:
        client.hset(keys.touched("/srv/x.git"), mapping={"old": '["a"]', **others})
    touch(one, "a")
    assert reported() == [(("a",), None)] * 20


@pytest.mark.parametrize("folder", [".git", ".venv", "a/__pycache__", "b/target", "node_modules"])
def test_what_a_build_leaves_is_nobodys_work(overlap, reported, folder):
    one, other = overlap(), overlap()
    touch(one, f"{folder}/x")
    touch(other, f"{folder}/x")
    assert reported() == []


def test_what_is_kept_of_an_agent_has_an_end(overlap, valkey_url):
    one = overlap()
    touch(one, *(f"{number}" for number in range(2 * FILES_LIMIT)))
    touch(next_attempt(one), *(f"more{number}" for number in range(2 * FILES_LIMIT)))
    with redis.Redis.from_url(valkey_url) as client:
        kept = client.hget(keys.touched("/srv/x.git"), one.agent.agent_id)
        record = json.loads(kept)
        assert len(record.pop("files")) == FILES_LIMIT
        assert record == {"reported": {}, "taskId": "t", "attempt": 1, "phase": "preparing"}
        one.forget()
        assert not client.exists(keys.touched("/srv/x.git"))
