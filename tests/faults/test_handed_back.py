"""A worker that is asked to end hands on what it holds, at once: no lease has to run out first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.models import Phase
from orchestrator.store import agents
from orchestrator.wiring import clock, new_id
from tests.faults.conftest import OPEN, Fleet, request_body, spawn_that_waits_once
from tests.integration.conftest import make_remote, running
from tests.pools import pool_worker
from tests.processes import eventually


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A system in which a lease outlasts the test."""
    with running(
        tmp_path_factory.mktemp("patient"),
        ORCHESTRATOR_AGENT="scripted",
        **OPEN,
        ORCHESTRATOR_LEASE="1h",
    ) as system:
        yield Fleet(system)


@pytest.mark.parametrize("pool", ["spawn", "gates"])
def test_an_agent_goes_on_when_its_worker_is_asked_to_end(
    fleet: Fleet, tmp_path: Path, pool: str
) -> None:
    agent_id, _ = spawn_that_waits_once(fleet, tmp_path, pool)
    before = fleet.state(agent_id)
    holder = psutil.Process(fleet.worker_pid(agent_id))
    # In a pool of processes the one that holds it is a child.
    (holder if pool == "spawn" else holder.parent()).send_signal(signal.SIGTERM)
    outcome = fleet.system.wait(agent_id)
    assert outcome["status"] == "completed", outcome["error"]
    after = fleet.state(agent_id)
    assert after["attempt"] > before["attempt"]
    assert after.get("recoveries", 0) == 0, "a deploy is not a loss"


def test_all_of_a_backlog_is_handed_back(store, valkey_url: str, tmp_path: Path) -> None:
    """The worker's threads took their first agents at the same moment."""
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    remote = make_remote(tmp_path, {"orchestrator.toml": "[gates]\ntests = 'true'\n"})
    body = request_body(remote, {"run": "sleep 600"})
    ids = [store.run(door.submit(body)).agent_id for _ in range(4)]

    def phases() -> set[str]:
        return {store.run(agents.read(agent_id)).phase for agent_id in ids}

    patient = {"ORCHESTRATOR_LEASE": "1h"}
    with pool_worker(tmp_path, valkey_url, "spawn", slots=4, **patient) as worker:
        eventually(lambda: phases() == {Phase.EXECUTING})
        worker.process.terminate()
        eventually(lambda: phases() == {Phase.AWAITING_REWORK})
        worker.process.wait(240)
