"""A worker process that ended on its host keeps no agent for the rest of its lease."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import OPEN, Fleet, send, spawn_that_waits_once
from tests.integration.conftest import running

#: No agent that waits for its end is recovered within a test.
LEASE = "1h"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("early")
    with running(home, ORCHESTRATOR_AGENT="scripted", ORCHESTRATOR_LEASE=LEASE, **OPEN) as started:
        yield Fleet(started)


@pytest.mark.parametrize("pool", ["spawn", "gates"])
def test_the_agent_of_a_killed_process_goes_on_from_its_work(
    system: Fleet, tmp_path: Path, pool: str
):
    agent_id, _ = spawn_that_waits_once(system, tmp_path, pool)
    send(system.worker_pid(agent_id), signal.SIGKILL)
    outcome = system.system.wait(agent_id)
    assert outcome["status"] == "completed", outcome
    state = system.state(agent_id)
    assert state["recoveries"] == 1
    assert state.get("continuesAttempt") == (1 if pool == "spawn" else None)
    (event,) = system.events(agent_id, "agent.recovering")
    assert "has ended" in event["reason"]
