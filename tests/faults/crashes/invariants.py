"""What must hold in the end, each asked of what can be seen from outside."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tests.faults.conftest import Document, request_body
from tests.faults.crashes.crash import Crash
from tests.faults.crashes.watch import queued
from tests.integration.conftest import git
from tests.processes import eventually, marked_all


def assert_nothing_lost_and_nothing_twice(crash: Crash) -> None:
    """The invariants, each asked of what can be seen from outside."""
    ids = set(crash.ids.values())
    for step, agent_id in crash.ids.items():
        state, remote = crash.state(step), crash.remotes[step]
        assert state["status"] == "completed", state
        updates = (remote / f"logs/refs/heads/agent/{agent_id}").read_text().splitlines()
        assert len(updates) == 1, f"pushed more than once: {updates}"
        assert git("rev-parse", f"agent/{agent_id}", cwd=remote) == state["commit"]
        assert git("rev-parse", f"agent/{agent_id}^", cwd=remote) == state["baseCommit"]
        tree = git("rev-parse", f"agent/{agent_id}^{{tree}}", cwd=remote)
        assert tree == state["verdict"]["tree"]
        assert git("show", f"agent/{agent_id}:made.txt", cwd=remote) == f"made by {step}"
        reported = events(crash, agent_id)
        attempts = [event["attempt"] for event in reported]
        assert attempts == sorted(attempts), f"a stale attempt spoke: {reported}"
        # The new phase of a recovered agent is told before its recovery.
        lives = [event for event in reported if event["type"] != "agent.phase"]
        for before, after in pairwise(lives):
            is_fenced = after["attempt"] > before["attempt"]
            assert after["type"] != "agent.recovering" or is_fenced, reported
        ends = Counter(event["type"] for event in reported)
        assert (ends["agent.completed"], ends["agent.cleanup"]) == (1, 1), ends
    assert crash.watch.checks
    at_once = [programs for programs in crash.watch.most.values() if len(programs) > 1]
    assert not at_once, "\n".join(str(programs) for programs in at_once)
    eventually(lambda: not ids & marked_all().keys())
    with crash.valkey() as client:
        eventually(lambda: not queued(client, *ids))
        for name in ("leases", "delayed"):
            assert not ids & members(client, f"orchestrator:{name}"), name
        with suppress(AssertionError):
            eventually(lambda: not members(client, "orchestrator:lost-messages"))
        assert not members(client, "orchestrator:lost-messages")
    for home in (crash.system.home, crash.folder / "second"):
        for name in ("workspaces", "candidates"):
            eventually(lambda: not left_of(ids, home / name))  # noqa: B023 - called at once


def assert_every_slot_is_back(crash: Crash) -> None:
    """As many agents as there are slots wait for one another, and so must all run at once."""
    meeting = crash.folder / "meeting"
    meeting.mkdir()
    count = len(crash.ids)
    are_all_there = f"[ $(ls {meeting} | wc -l) -ge {count} ]"
    wait = f"touch {meeting}/$$; until {are_all_there}; do sleep 0.1; done"
    remote = next(iter(crash.remotes.values()))
    ids = [f"slot-{secrets.token_hex(4)}" for _ in range(count)]
    made = {"write": {"path": "made.txt", "content": "made by slot\n"}}
    with Celery("coordinator", broker=crash.url) as client:
        for agent_id in ids:
            body = request_body(remote, {"run": wait}, made, {"say": "Met."})
            client.send_task("orchestrator.spawn", [body], task_id=agent_id, queue="spawn")
    with crash.valkey() as client:

        def ended() -> bool:
            states = client.mget([f"orchestrator:agent:{agent_id}" for agent_id in ids])
            return all(state and json.loads(state)["status"] == "completed" for state in states)

        eventually(ended)


def events(crash: Crash, agent_id: str) -> list[Document]:
    """Return what the event stream tells of an agent."""
    with crash.valkey() as client:
        entries = client.xrange("orchestrator:events:stream")
    reported: list[dict[str, Any]] = [json.loads(fields[b"event"]) for _, fields in entries]
    return [event for event in reported if event.get("agentId") == agent_id]


def members(client: redis.Redis, name: str) -> set[str]:
    """Return who is in a sorted set."""
    return {member.decode().partition(" ")[0] for member in client.zrange(name, 0, -1)}


def left_of(agent_ids: set[str], folder: Path) -> list[str]:
    """Return what stands in a folder under the names of these agents."""
    names = sorted(path.name for path in folder.glob("*"))
    return [name for name in names if name.partition(".")[0] in agent_ids]
