"""Celery's options: `revoke` kills an agent, what expired has a result, a date is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import Celery

from orchestrator.control.submit import SubmitService
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.messages import SPAWN_TASK
from orchestrator.models import Status
from orchestrator.store import agents, keys
from orchestrator.wiring import clock, new_id
from tests.pools import pool_worker
from tests.processes import eventually

BODY = {
    "taskId": "t",
    "agentType": "worker",
    "context": {"repository": "/srv/absent.git", "branch": "main", "workItems": ["x"]},
}


@pytest.fixture
def stock(valkey_url):
    with Celery("stock", broker=valkey_url, backend=valkey_url) as app:
        yield app


def revoke(app: Celery, agent_id: str, **options) -> list[dict[str, dict[str, str]]]:
    """Revoke an agent when a worker is there; returns what it answered."""
    return eventually(lambda: app.control.revoke(agent_id, reply=True, timeout=1, **options))


@pytest.mark.parametrize("is_running", [False, True])
@pytest.mark.parametrize("options", [{}, {"terminate": True, "signal": "SIGKILL"}], ids=str)
def test_a_revoked_agent_is_killed(store, stock, valkey_url, tmp_path, options, is_running):
    """Its result was REVOKED while it ran, and one that waited neither started nor ended."""
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    agent_id = store.run(door.submit(BODY)).agent_id
    if is_running:
        holder = AgentLeases(store, clock, new_id, worker="far@there", process="1:1", lease_s=300)
        holder.start(holder.claim(agent_id), base_commit="b" * 40)

    # Any worker takes the order, also one of another pool.
    with pool_worker(tmp_path, valkey_url, "cleanup"):
        (answer,) = revoke(stock, agent_id, **options)
        again = revoke(stock, agent_id, **options)

    assert "ok" in next(iter(answer.values()))
    assert "ok" in next(iter(again[0].values()))
    agent = store.run(agents.find(agent_id))
    assert (agent.status, agent.error) == (
        Status.KILLED,
        "revoked through Celery (killed by celery)",
    )
    assert stock.AsyncResult(agent_id).get(timeout=120)["status"] == "killed"


def test_a_request_that_never_becomes_an_agent_has_the_result_of_celery(
    client, stock, valkey_url, tmp_path
):
    """Revoked before a worker has received it, or expired: its client waits for a result."""
    sent = {"kwargs": {"request": BODY}, "queue": "spawn"}
    revoked, expired, past = new_id(), new_id(), clock() - timedelta(minutes=1)
    with pool_worker(tmp_path, valkey_url, "spawn"):
        revoke(stock, revoked, terminate=True)
        stock.send_task(SPAWN_TASK, task_id=revoked, **sent)
        stock.send_task(SPAWN_TASK, task_id=expired, expires=past, **sent)
        for agent_id in (revoked, expired):
            assert eventually(lambda one=agent_id: stock.AsyncResult(one).state == "REVOKED")
            assert not client.exists(keys.agent(agent_id))


def test_a_request_for_a_later_time_is_refused_and_holds_no_slot(
    client, stock, valkey_url, tmp_path
):
    """It started at once; a slot of the worker was in use until its time."""
    sent = {"kwargs": {"request": BODY | {"maxRetries": 0}}, "queue": "spawn"}
    later, now = new_id(), new_id()
    stock.send_task(SPAWN_TASK, task_id=later, countdown=3600, **sent)
    with pool_worker(tmp_path, valkey_url, "spawn"):
        refused = eventually(lambda: stock.AsyncResult(later).result)
        stock.send_task(SPAWN_TASK, task_id=now, **sent)
        assert eventually(lambda: stock.AsyncResult(now).result)
    assert refused["status"] == "failed"
    assert "eta or countdown is not supported" in refused["error"]
    assert not client.exists(keys.agent(later))
