"""The trail of an agent: the scripts that append to it, and what ends it."""

from __future__ import annotations

import json

import pytest

from orchestrator.maintenance.trails import agents_without_trail, write_trail_again
from orchestrator.models import AuditAction, Status
from orchestrator.settings import load_settings
from orchestrator.store import agent_transitions, agents, audit, keys, kills, overlap, trails
from orchestrator.store.retention import remove_agent
from orchestrator.wiring import audit as opened
from tests.script_calls import NOW, USAGE

AUDITED = b'{"agentId":"%s"}'


def events_of(store, agent_id: str) -> list[tuple[str, str]]:
    found = store.follow(trails.read_trail(agent_id)).events
    documents = [json.loads(event.document) for event in found]
    return [(one["type"], one["agentId"]) for one in documents]


def audit_of(store, agent_id: str) -> list[str]:
    return [link.id for link in store.follow(trails.read_trail(agent_id)).audit]


def append(store, first: int, *agent_ids: str) -> None:
    """Append audit entries about these agents."""
    head = b'{"seq":%d}' % (first - 1) if first > 1 else b""
    links = [(AUDITED % name.encode() if name else b"{}", b"0a") for name in agent_ids]
    after = b'{"seq":%d}' % (first + len(links) - 1)
    about = [name for name in agent_ids if name]
    store.run(audit.append(head, after, first, links, 0, agent_ids=about))


def test_each_agent_has_its_own_events(store, now_is):
    assert events_of(store, "queued") == [("agent.spawning", "queued")]
    kinds = [kind for kind, _ in events_of(store, "killed")]
    assert kinds == [
        "agent.spawning",
        "agent.phase",
        "agent.phase",
        "agent.running",
        "agent.killed",
    ]
    assert {name for _, name in events_of(store, "killed")} == {"killed"}
    spend = {"usage": {**USAGE, "totalTokens": 9_000_000, "inputTokens": 9_000_000}}
    store.run(agent_transitions.update(now_is.running, spend, now=NOW))
    assert events_of(store, "running")[-1] == ("budget.status", "running")
    store.run(agent_transitions.end(now_is.running, Status.FAILED, now=NOW, tag="t"))
    assert events_of(store, "running")[-1] == ("agent.failed", "running")


def test_both_agents_have_the_warning_of_their_overlap(store, now_is):
    store.follow(overlap.touch(now_is.queued, ["b.py"], now=NOW))
    store.follow(overlap.touch(now_is.running, ["b.py"], now=NOW))
    for name in ("queued", "running"):
        assert events_of(store, name)[-1] == ("agent.overlap", name)


def test_an_audit_entry_is_in_the_trail_of_its_agent_alone(store, now_is):
    append(store, 1, "queued", "", "running")
    append(store, 4, "running")
    assert audit_of(store, "queued") == ["1-0"]
    assert audit_of(store, "running") == ["3-0", "4-0"]
    assert audit_of(store, "killed") == []


def test_an_agent_whose_data_was_removed_gets_no_trail_again(store, client, now_is):
    store.follow(remove_agent("killed", Status.KILLED))
    append(store, 1, "killed", "nobody")
    assert not client.exists(keys.trail("killed"), keys.trail("nobody"))


def test_a_trail_is_capped_and_read_in_parts(store, client, now_is):
    append(store, 1, *["queued"] * 600)
    append(store, 601, *["queued"] * 600)
    assert client.llen(keys.trail("queued")) == 1000
    assert audit_of(store, "queued") == [f"{seq}-0" for seq in range(201, 1201)]
    assert events_of(store, "queued") == []


def test_what_the_streams_have_no_more_is_left_out(store, client, now_is):
    client.xtrim(keys.EVENTS_STREAM, maxlen=0, approximate=False)
    client.rpush(keys.trail("queued"), "x1-0", "e", "a9-0")
    assert store.follow(trails.read_trail("queued")) == trails.Trail((), ())


@pytest.mark.parametrize("about", [["queued"], ["queued", "queued"], []])
def test_a_trail_that_was_lost_is_written_again(store, client, now_is, tmp_path, about):
    chain = opened(load_settings({"ORCHESTRATOR_HOME": str(tmp_path)}))
    notes = [AuditAction(action="kill", who="ann", why="", agent_id=name) for name in about]
    store.follow(chain.append([*notes, AuditAction(action="halt", who="ann", why="")]))
    order = kills.KillOrder(by="ann", why="")
    store.run(kills.kill([now_is.queued], order, now=NOW, tags=["t"]))
    known = [store.run(agents.read(name)) for name in ("queued", "running")]
    before = store.follow(trails.read_trail("queued"))
    assert list(agents_without_trail(store, known)) == []
    client.delete(keys.trail("queued"))
    assert list(agents_without_trail(store, known)) == known[:1]
    write_trail_again(store, known[0])
    assert store.follow(trails.read_trail("queued")) == before
