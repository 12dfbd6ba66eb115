"""The HTTP server as its own process on a real Valkey."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest

from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import LogLine
from orchestrator.store import agent_logs
from tests.conftest import free_port

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
BODY = {
    "taskId": "task-1",
    "agentType": "worker",
    "context": {"repository": "/srv/repo.git", "branch": "main", "workItems": ["add a function"]},
}


def now():
    return datetime.now(UTC)


@contextmanager
def serving(valkey_url, *under, **environ):
    """The shim in its own process; ended by SIGTERM, which it must obey with exit 0.

    `under` is a program that becomes it.
    """
    port = free_port()
    env = {"PATH": os.environ["PATH"], "VALKEY_URL": valkey_url, "ORCHESTRATOR_PORT": str(port)}
    process = subprocess.Popen(
        [*under, sys.executable, "-m", "orchestrator.api"],
        env=env | environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # The port is bound before this line is written: from here on connections wait in it.
        assert "listening" in process.stderr.readline()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            yield client, process
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def server(valkey_server) -> Iterator[httpx.Client]:
    with serving(valkey_server) as (client, _):
        yield client


@pytest.fixture
def api(server, store) -> httpx.Client:
    """The shim's client, on an empty Valkey."""
    return server


@pytest.fixture
def holder(store):
    return AgentLeases(store, now, lambda: str(uuid.uuid4()), "spawn@here", 30.0, "1:1")


def spawn(api, **changed):
    answer = api.post("/agents/spawn", json=BODY | changed)
    assert answer.status_code == 201, answer.text
    return answer.json()["agentId"]


def run_to(holder, agent_id):
    """Move an agent to `running` as a pool does."""
    return holder.start(holder.claim(agent_id), base_commit="b" * 40)


def say(store, agent, *texts):
    lines = [LogLine(at=now(), source="agent", text=text) for text in texts]
    assert store.run(agent_logs.append_log(agent.agent_id, agent.attempt, lines, cap=1000))


def problem_of(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert {"type", "title", "status", "detail"} <= document.keys()
    assert document["status"] == status
    return document


def frames(lines):
    """Parse server-sent events into (event, id, data); comments are passed over."""
    event = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event["event"], event.get("id"), json.loads(event["data"])
            event = {}
