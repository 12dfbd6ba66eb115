"""Work that cannot be stored stays on its host, named in the state, until it can be."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.errors import DiskFull, GitFailed, KillUnconfirmed, StoreUnreachable
from orchestrator.store import kills
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import clock, kill_switch
from orchestrator.wiring.host import consistency_check, host_cleaner
from orchestrator.workspace.disk import locked
from tests.integration.ending import Fault, Host
from tests.integration.test_ends_keep_work import MADE
from tests.processes import eventually


def unsaved(host: Host) -> list[Path]:
    """Return what was set aside."""
    return sorted((host.settings.workspaces_dir / ".unsaved").glob("*.*/"))


def cleaner(host: Host):
    return host_cleaner(host.settings, worker="cleanup@here")


def kill(host: Host, agent_id: str, *, discard: bool) -> None:
    """Kill an agent whose worker is gone: nobody confirms that."""
    switch = kill_switch(host.settings)
    with suppress(KillUnconfirmed):
        host.store.follow(switch.kill(agent_id, KillOrder("ann", "", discard=discard)))


@pytest.fixture
def set_aside(host):
    """An agent whose final capture and salvage failed."""
    agent_id = host.spawn(MADE)
    host.run(agent_id, Fault("capture", GitFailed("fatal: no."), times=2))
    return agent_id


def test_work_that_can_neither_be_captured_nor_salvaged_stays_where_the_state_says(host, set_aside):
    state = host.state(set_aside)
    assert (state.status, state.error_code) == ("failed", "git_failed")
    assert (state.not_saved.host, state.not_saved.attempt) == ("here", 1)
    assert state.not_saved.reason == "fatal: no."
    made = Path(state.not_saved.path) / "made.txt"
    assert made.read_text() == "made\n"
    # Nothing that cleans up takes it.
    host.services.cleanup.run(set_aside)
    cleaner(host).sweep()
    assert made.read_text() == "made\n"
    assert host.stored(set_aside) == {}


def test_it_is_salvaged_again_later_and_the_state_says_so(host, set_aside, monkeypatch):
    cleaner(host).sweep()
    assert len(unsaved(host)) == 1
    monkeypatch.setattr("orchestrator.maintenance.work_saver.TRY_AGAIN_S", 0.0)
    cleaner(host).sweep()
    assert host.stored(set_aside)["made.txt"] == "made"
    assert host.state(set_aside).not_saved is None
    assert unsaved(host) == []


def test_it_goes_when_retention_ends(host, set_aside):
    sweeping = cleaner(host)
    later = clock() + timedelta(seconds=host.settings.retention_s + 1)
    replace(sweeping, work_saver=replace(sweeping.work_saver, clock=lambda: later)).sweep()
    assert unsaved(host) == []


@pytest.mark.parametrize("step", ["mid run", "capture", "store"])
def test_a_bundle_that_valkey_does_not_take_is_stored_when_it_does(host, step):
    agent_id = host.spawn(MADE)
    runner = host.faulty(Fault(step, GitFailed("injected")))
    away = host.faulty(Fault("store", StoreUnreachable(), times=100)).work_saver
    state_before = host.state(agent_id)
    if step == "store":
        host.run(agent_id, Fault("store", StoreUnreachable(), times=2))
    else:
        replace(runner, work_saver=replace(away, salvage=runner.work_saver.salvage)).run(agent_id)
    assert state_before.not_saved is None
    assert host.stored(agent_id) == {}
    (folder,) = unsaved(host)
    assert (folder / "change.bundle").exists()
    assert host.state(agent_id).not_saved.path == str(folder / "workspace" / "tree")
    cleaner(host).sweep()
    assert host.stored(agent_id)["made.txt"] == "made"
    assert host.state(agent_id).not_saved is None
    assert unsaved(host) == []


def test_what_was_set_aside_while_valkey_was_gone_is_reported_when_it_is_back(host):
    agent_id = host.spawn(MADE)
    runner = host.faulty(Fault("mid run", GitFailed("injected")))
    gone = host.faulty(Fault("all of valkey", StoreUnreachable(), times=100)).work_saver
    replace(runner, work_saver=replace(gone, salvage=runner.work_saver.salvage)).run(agent_id)
    (folder,) = unsaved(host)
    assert host.state(agent_id).not_saved is None
    (folder / "change.bundle").unlink()
    cleaner(host).sweep()
    assert host.state(agent_id).not_saved.path == str(folder / "workspace" / "tree")


def test_a_discarded_agent_s_work_is_dropped_wherever_it_stands(host, set_aside):
    other = host.spawn(MADE)
    kill(host, other, discard=True)
    assert host.store.run(kills.find_receipt(other)).discard
    (folder,) = unsaved(host)
    folder.rename(folder.with_name(f"{other}.1"))
    origin = folder.with_name(f"{other}.1") / "origin.json"
    origin.write_text(origin.read_text().replace(set_aside, other))
    cleaner(host).sweep()
    assert unsaved(host) == []
    assert host.stored(other) == {}


# ── attempts that are lost with their worker ────────────────────────────────────────────────


@pytest.fixture
def lost(host, tmp_path):
    """An agent whose worker was killed while it worked."""
    steps = [{"write": {"path": "made.txt", "content": "made\n"}}, {"hang": True}]
    agent_id = host.spawn(json.dumps({"steps": steps}))
    settings = host.settings
    program = (
        "import sys\n"
        "from orchestrator.settings import load_settings\n"
        "from orchestrator.wiring.worker import build\n"
        "import os\n"
        "build(load_settings(dict(os.environ)), worker='spawn@here').runner.run(sys.argv[1])\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "VALKEY_URL": settings.valkey_url,
        "ORCHESTRATOR_HOME": str(settings.home),
        "ORCHESTRATOR_PROCESS_LEVEL": "shim",
    }
    worker = subprocess.Popen(
        [sys.executable, "-c", program, agent_id],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    made = settings.workspaces_dir / agent_id / "tree" / "made.txt"
    eventually(lambda: made.exists() and made.read_text() == "made\n")
    eventually(lambda: host.state(agent_id).status == "running")
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert host.stored(agent_id) == {}
    return agent_id


def test_the_host_cleaner_stores_what_a_killed_worker_left(host, lost):
    eventually(lambda: (cleaner(host).sweep(), host.stored(lost))[1])
    assert host.stored(lost)["made.txt"] == "made"
    assert lost not in host.workspaces()


def test_cleanup_stores_it_before_it_removes_the_workspace(host, lost):
    kill(host, lost, discard=False)
    host.services.cleanup.run(lost)
    assert host.stored(lost)["made.txt"] == "made"
    assert lost not in host.workspaces()


def test_cleanup_drops_it_where_it_was_discarded(host, lost):
    kill(host, lost, discard=True)
    host.services.cleanup.run(lost)
    assert host.stored(lost) == {}
    assert lost not in host.workspaces()


def test_the_next_attempt_on_the_host_goes_on_from_it(host, lost):
    later = clock() + timedelta(seconds=3600)
    rescuer = host.services.rescuer
    replace(rescuer, holder=replace(rescuer.holder, clock=lambda: later)).sweep()
    seen = {}

    class Looks:
        def launch(self, job):
            seen["made"] = (job.worktree / "made.txt").read_text()
            seen["feedback"] = job.feedback
            raise RuntimeError

    replace(host.services.runner, backends=lambda _name: Looks()).run(lost)
    assert seen["made"] == "made\n"
    assert "stands in the worktree already" in " ".join(seen["feedback"].split())


def test_a_workspace_that_a_worker_holds_is_nobody_else_s(host, lost):
    with locked(host.settings.workspaces_dir / f"{lost}.lock"):
        cleaner(host).sweep()
        assert host.stored(lost) == {}


def test_fsck_keeps_what_it_removes(host, lost):
    kill(host, lost, discard=False)
    for drift in consistency_check(host.settings, host.store).check():
        if drift.kind == "folder-left" and lost in drift.subject:
            drift.repair()
    assert host.stored(lost)["made.txt"] == "made"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, DiskFull), (errno.EROFS, DiskFull), (errno.EACCES, GitFailed)],
)
def test_the_next_attempt_waits_for_a_disk_on_which_the_last_work_cannot_be_moved(
    host, monkeypatch, number, expected
):
    """It failed for good with `git_failed`, although its work was intact."""
    saver = cleaner(host).work_saver

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(type(saver.workspaces), "left", lambda *_: ("workspace", "origin"))
    monkeypatch.setattr(type(saver), "_save_left", refuse)
    with pytest.raises(expected, match="can neither be stored nor set aside") as raised:
        saver.save_left("agent")
    assert (type(raised.value), raised.value.retryable) == (expected, expected is DiskFull)
