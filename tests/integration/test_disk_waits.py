"""Agents that wait for disk space are seen: list, reason, age, metric, readiness."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from orchestrator.api.app import create_app
from orchestrator.messages import QUEUES
from orchestrator.queries.explanations import explain_one, urgent
from orchestrator.settings import load_settings
from orchestrator.store import sweeps, workers
from orchestrator.store.server_clock import ServerClock
from orchestrator.store.sweeps import Sweeper
from orchestrator.wiring import clock, submit_service
from orchestrator.wiring.worker import build
from workers.signals import announce

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


def settings_of(valkey_url, home, low_water):
    return load_settings(
        {
            "PATH": os.environ["PATH"],
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_HOME": str(home),
            "ORCHESTRATOR_AGENT": "scripted",
            "ORCHESTRATOR_PROCESS_LEVEL": "shim",
            "ORCHESTRATOR_DISK_LOW_WATER": low_water,
        }
    )


@pytest.fixture
def short(valkey_url, tmp_path):
    return settings_of(valkey_url, tmp_path, "1PiB")


def test_who_waits_for_disk_space_is_seen_everywhere(short, store, valkey_url, tmp_path):
    services = build(short, worker="spawn@here")
    agent_id = store.run(submit_service(short).submit(BODY)).agent_id
    services.runner.run(agent_id)
    time_source = ServerClock(store)
    for queue in QUEUES:
        announce(store, f"{queue}@here", time_source, short)
    why = store.follow(explain_one(agent_id, short, clock()))
    assert (why.code, why.command) == ("disk_low", "orch doctor")
    ((listed, attention),) = store.follow(urgent(short, clock()))
    assert (listed.agent_id, attention.code) == (agent_id, "disk_low")
    with TestClient(create_app(short), base_url="http://localhost") as http:
        ready = http.get("/health/ready")
        assert ready.status_code == 503
        assert "spawn@here: disk: " in ready.json()["checks"]["disk"]
        queues = {queue["name"]: queue for queue in http.get("/queues").json()["queues"]}
        assert queues["spawn"]["oldestAgeS"] > 0
        assert queues["gates"].get("oldestAgeS") is None
        text = http.get("/metrics").text
        assert 'orchestrator_worker_short{worker="spawn@here"} 1.0' in text
        assert 'orchestrator_agents_waiting{resource="disk"} 1.0' in text
        # A host with space takes the agents: the system is ready.
        wide = settings_of(valkey_url, tmp_path, "1")
        announce(store, "spawn@there", time_source, wide)
        assert http.get("/health/ready").status_code == 200
        announce(store, "spawn@here", time_source, wide)
        assert 'orchestrator_worker_short{worker="spawn@here"} 0.0' in http.get("/metrics").text


def test_a_backoff_is_no_wait_for_a_resource(short, store):
    store.run(sweeps.record(Sweeper.SCHEDULER, now=clock()))
    store.run(workers.announce("spawn@here", now=clock() + timedelta(minutes=1)))
    with TestClient(create_app(short), base_url="http://localhost") as http:
        assert 'orchestrator_agents_waiting{resource="disk"} 0.0' in http.get("/metrics").text
