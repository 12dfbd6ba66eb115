"""A worker that stalls longer than its programs may run without it: nobody blames the programs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.errors import SandboxLost
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes._process_tree import ProcessTree
from tests.faults.conftest import OPEN, Fleet, send, spawn_that_waits_once
from tests.integration.conftest import running
from tests.processes import eventually
from tests.sandbox.levels import LEVELS, sandbox_at


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A system in which a lease outlasts every stall."""
    with running(
        tmp_path_factory.mktemp("stalling"),
        ORCHESTRATOR_AGENT="scripted",
        **OPEN,
        ORCHESTRATOR_SUPERVISOR_DEADLINE="2s",
        ORCHESTRATOR_LEASE="1h",
    ) as system:
        yield Fleet(system)


@pytest.mark.parametrize("pool", ["spawn", "gates"])
def test_what_a_stall_ends_is_done_again(fleet: Fleet, tmp_path: Path, pool: str) -> None:
    agent_id, sleeper = spawn_that_waits_once(fleet, tmp_path, pool)
    worker = fleet.worker_pid(agent_id)
    send(worker, signal.SIGSTOP)
    try:
        eventually(lambda: not psutil.pid_exists(sleeper))
    finally:
        send(worker, signal.SIGCONT)
    outcome = fleet.system.wait(agent_id)
    assert outcome["status"] == "completed", outcome["error"]
    assert fleet.state(agent_id)["recoveries"] == 1


@pytest.mark.parametrize("level", LEVELS)
def test_its_end_says_that_the_worker_was_not_heard(level: str, tmp_path: Path) -> None:
    sandbox = sandbox_at(level, tmp_path, ORCHESTRATOR_SUPERVISOR_DEADLINE="0.5s")
    spec = ProcessSpec(
        argv=("sh", "-c", "echo begun; exec sleep 600"),
        cwd=tmp_path,
        env={"PATH": os.defpath},
        agent_id="stalled-00000000",
    )
    said: list[bytes] = []
    # The thread of the heartbeats waits for this lock, as it would for a processor.
    with sandbox.start(spec) as process, sandbox._heartbeat._lock:
        with pytest.raises(SandboxLost, match="stopped or stalled"):
            read_to_end(process, said)
        assert process.exit_code == -signal.SIGKILL
    assert said == [b"begun\n"]


def read_to_end(process: ProcessTree, said: list[bytes]) -> None:
    while process.exit_code is None:
        said += [chunk.data for chunk in process.read(1)]
