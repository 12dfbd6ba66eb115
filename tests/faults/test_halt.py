"""The latch: while it stands nothing is admitted or started, whatever is started anew meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.faults.conftest import HANGS, OPEN, Fleet, all_killed, request_body
from tests.integration.conftest import running
from tests.processes import Observer, eventually

#: Ends well when it is told to.
WAITS = ": >$D/$$; until [ -e $D/go ]; do sleep 0.05; done; echo changed > changed"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A system with one slot."""
    home = tmp_path_factory.mktemp("halted")
    with running(home, ORCHESTRATOR_AGENT="scripted", **OPEN, MAX_CONCURRENT_AGENTS="1") as system:
        yield Fleet(system)


def assert_refused(fleet: Fleet, remote: Path, why: str) -> None:
    """Every way in says no, and why."""
    body = request_body(remote, {"say": "Hi."})
    status, problem = fleet.call("POST", "/agents/spawn", body)
    assert (status, problem["type"]) == (429, "urn:orchestrator:error:halted")
    assert why in problem["detail"]
    ran = fleet.system.orch("spawn", f"--repo={remote}", "--branch=main", "--item=x", check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert why in ran.stderr
    app = Celery("coordinator", broker=fleet.system.valkey, backend=fleet.system.valkey)
    with app:
        sent = app.send_task(
            "orchestrator.spawn", kwargs={"request": body}, queue="spawn",
            task_id=str(uuid.uuid4()),
        )  # fmt: skip
        outcome = app.AsyncResult(sent.id).get(timeout=120)
    assert (outcome["status"], outcome["errorCode"]) == ("failed", "halted")


def test_a_halt_stops_what_is_new_through_restarts_until_it_is_lifted(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    held = fleet.spawn_that(remote, tmp_path / "held", WAITS)
    observer.note_agent(held, tmp_path / "held")
    waiting = [fleet.spawn_that(remote, tmp_path / str(number), WAITS) for number in range(2)]
    halted = fleet.system.orch("halt", "--why", "the bill", "--json")
    assert json.loads(halted.stdout) == {"halted": True, "onDisk": True}

    # What runs goes on to its end, and frees the only slot for nobody.
    assert observer.alive()
    (tmp_path / "held" / "go").touch()
    eventually(lambda: fleet.state(held)["status"] == "completed")
    assert_refused(fleet, remote, "the bill")
    assert [fleet.state(agent_id)["attempt"] for agent_id in waiting] == [0, 0]

    for command in ("down", "up --detach --json"):
        subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", *command.split()],
            env=fleet.system.env, cwd=fleet.system.home, check=True, capture_output=True,
            timeout=300,
        )  # fmt: skip
    assert_refused(fleet, remote, "the bill")
    assert [fleet.state(agent_id)["status"] for agent_id in waiting] == ["spawning"] * 2

    without_reason = fleet.system.orch("resume", check=False)
    assert without_reason.returncode == 2
    resumed = fleet.system.orch("resume", "--reason", "it is paid", "--json")
    assert json.loads(resumed.stdout) == {"halted": False, "waiting": 2}
    for number, agent_id in enumerate(waiting):
        (tmp_path / str(number) / "go").touch()
        eventually(lambda: fleet.state(agent_id)["status"] == "completed")  # noqa: B023 - at once
    reported = json.loads(fleet.system.orch("audit", "--json").stdout)["entries"]
    done = [(entry["action"], entry["why"]) for entry in reported if entry["action"] != "spawn"]
    assert done == [
        ("halt", "the bill"),
        ("resume", "it is paid"),
    ]


def test_kill_all_with_halt_ends_everything_and_admits_nothing(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    agent_id = fleet.spawn_that(remote, tmp_path / "pids", HANGS)
    observer.note_agent(agent_id, tmp_path / "pids")
    queued = fleet.spawn_that(remote, tmp_path / "queued", HANGS)
    ran = fleet.system.orch("kill-all", "--halt", "--why", "fire", "--json")
    assert json.loads(ran.stdout) == all_killed(2)
    assert observer.alive() == set()
    assert fleet.state(queued)["status"] == "killed"
    assert_refused(fleet, remote, "fire")
    fleet.system.orch("resume", "--reason", "out")
    again = fleet.spawn_that(remote, tmp_path / "again", HANGS)
    fleet.await_phase(again, "executing")
    fleet.kill_all()
