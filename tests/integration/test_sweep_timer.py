"""Sweeps go on without the scheduler, on a full Valkey too, and their absence is noticed."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
import redis
from starlette.testclient import TestClient

from orchestrator.api.app import create_app
from orchestrator.cli.local.valkey_checks import see_sweep
from orchestrator.errors import OrchestratorError
from orchestrator.leases.attempt_result import Fail
from orchestrator.maintenance.sweep_timer import SweepTimer
from orchestrator.messages import QUEUES
from orchestrator.settings import load_settings
from orchestrator.store import agents, sweeps, workers
from orchestrator.store.sweeps import Sweeper
from orchestrator.wiring import clock, submit_service
from orchestrator.wiring.worker import build
from tests.full_valkey import fill_memory
from tests.pools import pool_worker
from tests.processes import eventually

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


@pytest.fixture
def settings(valkey_url, tmp_path):
    return load_settings(
        {
            "PATH": os.environ["PATH"],
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_HOME": str(tmp_path),
            "ORCHESTRATOR_AGENT": "scripted",
            "ORCHESTRATOR_PROCESS_LEVEL": "shim",
        }
    )


@pytest.fixture
def services(settings):
    return build(settings, worker="cleanup@here")


@pytest.fixture
def full(valkey_url):
    """Fills Valkey when it is called; afterwards it is as large as it was."""
    with redis.Redis.from_url(valkey_url) as client:

        def fill():
            client.config_set("maxmemory-policy", "noeviction")
            fill_memory(client, room=2**21)

        yield fill
        client.config_set("maxmemory", 0)


def ended(services, settings):
    agent_id = services.store.run(submit_service(settings).submit(BODY)).agent_id
    agent = services.runner.holder.claim(agent_id)
    services.runner.holder.apply(agent, Fail(OrchestratorError("it failed")))
    return agent_id


SHORT = {"ORCHESTRATOR_RETENTION": "5s", "ORCHESTRATOR_PROCESS_LEVEL": "shim"}


def test_a_cleanup_worker_frees_memory_where_no_message_can_be_sent(
    services, settings, full, tmp_path, valkey_url
):
    with pool_worker(tmp_path, valkey_url, "cleanup", **SHORT) as worker:
        eventually(
            lambda: "cleanup@" in worker.log.read_text() and " ready" in worker.log.read_text()
        )
        agent_id = ended(services, settings)
        full()
        with redis.Redis.from_url(valkey_url) as client, pytest.raises(redis.OutOfMemoryError):
            client.lpush("cleanup", b"what the scheduler sends")
        eventually(lambda: services.store.run(agents.find(agent_id)) is None)
        # It does not end of the refused writes of its broker's client, which come every 10 s.
        eventually(lambda: "not restored" in worker.log.read_text())
        assert worker.process.poll() is None
    assert Sweeper.TIMER in services.store.run(sweeps.last_ms())


def test_a_cleanup_worker_that_cannot_connect_frees_memory_first(
    services, settings, full, tmp_path, valkey_url
):
    agent_id = ended(services, settings)
    full()
    # The only sweep before this worker gives up: no process manager starts it again here.
    is_due = clock() + timedelta(seconds=1)
    eventually(lambda: clock() > is_due)
    with pytest.raises(redis.OutOfMemoryError), redis.Redis.from_url(valkey_url) as client:
        client.lpush("cleanup", b"what the scheduler sends")
    with pool_worker(tmp_path, valkey_url, "cleanup", **SHORT | {"ORCHESTRATOR_RETENTION": "1s"}):
        eventually(lambda: services.store.run(agents.find(agent_id)) is None)
        # The sweep is recorded when it ends, which is after it has removed the agent.
        eventually(lambda: Sweeper.TIMER in services.store.run(sweeps.last_ms()))


def test_the_timer_leaves_sweeps_to_a_scheduler_that_makes_them(services):
    timer = SweepTimer(services.store, clock, lambda: services.sweep(Sweeper.TIMER))
    assert timer.check()
    assert not timer.check()
    later = replace(timer, clock=lambda: clock() + timedelta(seconds=11))
    assert later.check()


def test_the_timer_sweeps_after_the_clock_of_valkey_was_set_back(services):
    services.store.run(sweeps.record(Sweeper.SCHEDULER, now=clock() + timedelta(hours=2)))
    timer = SweepTimer(services.store, clock, lambda: services.sweep(Sweeper.TIMER))
    assert timer.check()


def test_readiness_metrics_and_doctor_notice_that_nobody_sweeps(settings, services, valkey_url):
    store = services.store
    for queue in QUEUES:
        store.run(workers.announce(f"{queue}@here", now=clock() + timedelta(hours=1)))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert client.get("/health/ready").status_code == 200
        client.app.state.started_s -= 61
        late = client.get("/health/ready")
        assert (late.status_code, late.json()["checks"]["workers"]) == (503, "ok")
        assert "no sweep ever" in late.json()["checks"]["sweep"]
        store.run(sweeps.record(Sweeper.SCHEDULER, now=clock() - timedelta(seconds=90)))
        assert "no sweep for 90 s" in client.get("/health/ready").json()["checks"]["sweep"]
        with pytest.raises(OrchestratorError, match="No sweep for 90 s"):
            see_sweep(valkey_url)
        services.sweep(Sweeper.TIMER)
        assert client.get("/health/ready").status_code == 200
        text = client.get("/metrics").text
        assert 'orchestrator_sweep_age_seconds{by="scheduler"} 9' in text
        assert 'orchestrator_sweep_age_seconds{by="timer"} 0' in text
    with pytest.raises(OrchestratorError, match="The scheduler starts no sweeps"):
        see_sweep(valkey_url)
    services.sweep(Sweeper.SCHEDULER)
    assert see_sweep(valkey_url).startswith("the last one was 0 s ago")
