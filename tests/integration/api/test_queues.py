"""The queues as operators see them, and pausing them, with a real worker of Celery's."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from celery import Celery

import celeryconfig
from orchestrator import wiring
from orchestrator.errors import NotFound
from orchestrator.messages import SPAWN_QUEUE, queue_key
from orchestrator.queries.queues import overview
from orchestrator.settings import load_settings
from orchestrator.store import keys, sweeps
from orchestrator.store.operations import command
from orchestrator.wiring import clock
from tests.pools import pool_worker
from tests.processes import eventually


@contextmanager
def worker(home, valkey_url, *queues):
    """A pool worker; gives what waits for an event in its log."""
    with pool_worker(home, valkey_url, *queues) as started:
        yield lambda event: eventually(lambda: f'"event": "{event}"' in started.log.read_text())


@pytest.fixture
def settings(valkey_url, tmp_path):
    return load_settings({"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)})


def spawn(settings, store, tmp_path):
    """Spawn an agent that fails at once: there is no such repository."""
    context = {"repository": str(tmp_path / "none.git"), "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "maxRetries": 0, "context": context}
    return store.run(wiring.submit_service(settings).submit(body)).agent_id


def queue(store, name):
    return next(state for state in store.follow(overview(clock())) if state.name == name)


def test_a_paused_queue_keeps_its_messages_over_restarts_until_it_is_resumed(
    settings, store, valkey_url, tmp_path
):
    """Also one that a fetch already under way when it was paused takes out: it is put back."""
    switch = wiring.queue_pauses(settings)
    with worker(tmp_path, valkey_url, "spawn") as heard:
        store.follow(switch.pause("spawn", "ann", "an incident"))
        heard("paused")
        # The worker's BRPOP still waits for this queue in Valkey, and answers with this one.
        ids = [spawn(settings, store, tmp_path) for _ in range(3)]
        store.follow(switch.pause("gates", "ann", ""))
        eventually(lambda: queue(store, "spawn").pending == 3)
    with worker(tmp_path, valkey_url, "spawn") as heard:
        heard("paused")
        state = queue(store, "spawn")
        assert (state.pending, state.is_paused, state.active) == (3, True, 0)
        assert (state.pause.by, state.pause.why) == ("ann", "an incident")
        assert state.oldest_age_s >= 0
        assert store.follow(switch.resume("spawn", "bob", "over"))
        eventually(lambda: queue(store, "spawn").failed == 3)
    state = queue(store, "spawn")
    assert (state.pending, state.is_paused, state.oldest_age_s) == (0, False, None)
    # Nothing was dropped on the way: each was worked off once, and none is held back by kombu.
    assert queue(store, "cleanup").pending == len(ids)
    assert store.run(command("HLEN", "unacked", decode=int)) == 0


def test_a_paused_cleanup_does_not_stop_the_sweep(settings, store, valkey_url, tmp_path):
    """Recovery and delayed agents hang on it."""
    store.follow(wiring.queue_pauses(settings).pause("cleanup", "ann", ""))
    agent_id = spawn(settings, store, tmp_path)
    store.run(command("DEL", queue_key(SPAWN_QUEUE, 5), decode=int))
    with worker(tmp_path, valkey_url, "cleanup") as heard:
        heard("paused")
        # A recent sweep, so that the worker's own timer does not sweep.
        store.run(sweeps.record(sweeps.Sweeper.SCHEDULER, now=clock()))
        store.run(command("ZADD", keys.DELAYED, 1, agent_id, decode=int))
        assert queue(store, "spawn").delayed == 1
        # As beat sends it.
        with Celery("stock", broker=valkey_url) as client:
            client.conf.task_routes = celeryconfig.task_routes
            client.send_task("orchestrator.sweep", ignore_result=True)
        eventually(lambda: queue(store, "spawn").delayed == 0)
    assert queue(store, "spawn").pending == 1


def test_pausing_stands_in_the_audit_and_knows_its_queues(settings, store):
    switch = wiring.queue_pauses(settings)
    store.follow(switch.pause("gates", "ann", "flaky gates"))
    assert store.follow(switch.resume("gates", "bob", ""))
    assert not store.follow(switch.resume("gates", "bob", ""))
    from orchestrator.audit.log import read_entries

    entries = store.follow(read_entries(limit=9))
    assert [(entry.action, entry.who, entry.scope, entry.before) for entry in entries] == [
        ("pause-queue", "ann", "queue gates", None),
        ("resume-queue", "bob", "queue gates", "paused"),
        ("resume-queue", "bob", "queue gates", "not paused"),
    ]
    with pytest.raises(NotFound, match="only spawn, gates, cleanup"):
        store.follow(switch.pause("unacked", "ann", ""))
