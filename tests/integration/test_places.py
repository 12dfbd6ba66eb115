"""The cap on agents at once is the fleet's: nobody is over it, and nobody is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from celery import Celery

from orchestrator.control.submit import SubmitService
from orchestrator.models import Status
from orchestrator.store import agents, keys
from orchestrator.store.budget import set_limits
from orchestrator.store.events import read_events
from orchestrator.store.operations import command
from orchestrator.wiring import clock, new_id
from tests.pools import pool_worker
from tests.processes import eventually

CAP, WORKERS, THREADS = 10, 2, 20


@contextmanager
def workers(home: Path, valkey_url: str) -> Iterator[None]:
    """Run spawn pools that have, together, four times as many threads as there are places."""
    # Its agents wait for a file of the host's.
    settings = {"MAX_CONCURRENT_AGENTS": str(CAP), "ORCHESTRATOR_PROCESS_LEVEL": "shim"}
    with ExitStack() as pools:
        for number in range(WORKERS):
            pool = pool_worker(
                home, valkey_url, "spawn", name=f"spawn{number}", slots=THREADS, **settings
            )
            pools.enter_context(pool)
        yield


def spawn_all(store, remote: Path, script: str, number: int) -> list[str]:
    """Spawn so many agents at once, of all priorities; returns their ids."""
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    context = {"repository": str(remote), "branch": "main", "workItems": [script]}

    def spawn(index: int) -> str:
        body = {
            "taskId": f"t-{index}", "agentType": "worker", "gateProfile": "minimal",
            "priority": index % 10 + 1,
            "context": context,
        }  # fmt: skip
        return store.run(door.submit(body)).agent_id

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(spawn, range(number)))


def reported(store) -> list[tuple[str, str]]:
    events = (entry.event for entry in store.run(read_events(after="0-0", count=10_000)))
    return [(event.type, event.agent_id) for event in events]


def running(store, *, most: int = CAP) -> set[str]:
    """Return who runs by the event stream, which is all this observer knows."""
    now: set[str] = set()
    for kind, agent_id in reported(store):
        if kind == "agent.running":
            now.add(agent_id)
        elif kind in {"agent.failed", "agent.completed", "agent.killed"}:
            now.discard(agent_id)
        assert len(now) <= most, "one more than the cap"
    return now


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.soak)])
def test_of_many_spawned_at_once_never_more_than_the_cap_run(
    store, valkey_url, remote, script, tmp_path, count
):
    with workers(tmp_path, valkey_url):
        spawned = spawn_all(store, remote, script({"fail": 1}), count)
        eventually(
            lambda: sum(kind == "agent.failed" for kind, _ in reported(store)) == count,
            within_s=300,
        )
    assert running(store) == set()
    ends = {store.run(agents.read(agent_id)).error_code for agent_id in spawned}
    assert ends == {"agent_failed"}
    assert {store.run(agents.read(agent_id)).attempt for agent_id in spawned} == {1}
    left = command("EXISTS", keys.SLOTS, keys.WAITING, keys.UNCALLED, decode=int)
    assert store.run(left) == 0


def test_raising_the_cap_starts_who_waits_at_once(store, valkey_url, remote, script, tmp_path):
    """No sweep runs here: what lets them in is the change itself."""
    go = tmp_path / "go"
    waits = script({"wait_for": str(go)}, {"fail": 1})
    with workers(tmp_path, valkey_url):
        spawned = spawn_all(store, remote, waits, CAP + 3)
        eventually(lambda: len(running(store)) == CAP)
        eventually(lambda: store.run(command("ZCARD", keys.WAITING, decode=int)) == 3)
        store.run(set_limits({"concurrency": CAP + 3}, now=clock()))
        eventually(lambda: len(running(store, most=CAP + 3)) == CAP + 3)
        go.touch()
        eventually(
            lambda: all(store.run(agents.read(one)).status is Status.FAILED for one in spawned)
        )


def test_a_raw_message_over_the_days_limit_is_answered_with_the_reason(
    store, valkey_url, remote, tmp_path
):
    store.run(set_limits({"daily": 1}, now=clock()))
    context = {"repository": str(remote), "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "agent": "scripted", "context": context}
    with workers(tmp_path, valkey_url), Celery(broker=valkey_url, backend=valkey_url) as app:
        sent = app.send_task(
            "orchestrator.spawn", kwargs={"request": body}, queue="spawn", task_id=new_id()
        )
        outcome = sent.get(timeout=300)
    assert (outcome["status"], outcome["errorCode"]) == ("failed", "budget_exhausted")
    assert store.run(agents.find(sent.id)) is None
    assert reported(store) == [("agent.failed", sent.id)]
