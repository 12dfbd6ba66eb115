"""An agent may stop or kill the shim above it: it ends all the same, and no proof is made up."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.faults.conftest import Fleet, send
from tests.processes import Observer, eventually

#: The agent's program is a child of the player, and that one of the shim.
SHIM = "shim=$(cut -d' ' -f4 /proc/$PPID/stat)"
#: Leaves the group, keeps its mark.
DAEMON = "setsid sh -c ': >$D/$$; exec sleep 600' &"
STOPS_IT = f"{SHIM}\n{DAEMON}\nkill -STOP $shim\n: >$D/$$\nexec sleep 600"
WHEN_TOLD = ": >$D/$$\nuntil [ -e $D/go ]; do sleep 0.05; done"
KILLS_IT = f"{SHIM}\n{DAEMON}\n{WHEN_TOLD}\nkill -KILL $shim\nsleep 600"


def test_a_stopped_shim_does_its_work_when_the_kill_comes(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    agent_id = fleet.spawn_that(remote, tmp_path / "pids", STOPS_IT)
    observer.note_agent(agent_id, tmp_path / "pids", at_least=2)
    status, _ = fleet.kill(agent_id)
    assert status == 200
    assert observer.alive() == set()
    assert fleet.receipt(agent_id)["confirmedBy"] == "worker"


def test_a_killed_shim_fails_its_agent_and_the_janitor_ends_what_left_the_group(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    pids = tmp_path / "pids"
    agent_id = fleet.spawn_that(remote, pids, KILLS_IT)
    observer.note_agent(agent_id, pids, at_least=2)
    (pids / "go").touch()
    eventually(lambda: fleet.state(agent_id)["status"] == "failed")
    assert fleet.state(agent_id)["errorCode"] == "agent_crashed"
    eventually(lambda: not observer.alive())


def test_without_its_shim_a_kill_is_confirmed_only_when_the_host_was_searched(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    """The worker is stopped, so that it finds the shim dead, the agent killed: it saw nothing."""
    pids = tmp_path / "pids"
    agent_id = fleet.spawn_that(remote, pids, KILLS_IT)
    observer.note_agent(agent_id, pids, at_least=2)
    worker = fleet.worker_pid(agent_id)
    send(worker, signal.SIGSTOP)
    try:
        (pids / "go").touch()
        ran = fleet.system.orch("kill", agent_id, "--timeout=1ms", check=False)
    finally:
        send(worker, signal.SIGCONT)
    assert ran.returncode == 1
    status, _ = fleet.kill(agent_id)
    assert status == 200
    assert observer.alive() == set()
    receipt = fleet.receipt(agent_id)
    assert (receipt["confirmedBy"], receipt["survivors"]) == ("host_cleaner", [])
