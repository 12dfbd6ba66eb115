"""What an attempt left stays named or retained after its worker was killed and the next one ran."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.models import AgentState
from orchestrator.models.state_machine import FINAL
from orchestrator.store import changes
from orchestrator.wiring import clock
from orchestrator.wiring.host import host_cleaner
from tests.integration.conftest import git
from tests.integration.ending import Host
from tests.processes import eventually

#: The first attempt leaves an ignored file, a stash and a file, and hangs; the second one ends.
FIRST = (
    "if [ ! -e first.txt ]; then"
    " echo '*.ign' > .gitignore; git add .gitignore; git commit -qm ignore;"
    " echo stashed > stashed.txt; git stash -qu;"
    " echo lost > a.ign; echo first > first.txt; touch ready; sleep 600; fi;"
    " echo second > second.txt; echo again > b.ign"
)
AFRESH = "echo second > second.txt"
WORKER = """
import os, sys
from orchestrator.settings import load_settings
from orchestrator.wiring.worker import build
build(load_settings(dict(os.environ)), worker='spawn@here').runner.run(sys.argv[1])
"""


def start_and_kill(host: Host, agent_id: str) -> None:
    """Let a worker run the agent until it hangs, and kill the worker."""
    settings = host.settings
    environment = {
        "PATH": os.environ["PATH"],
        "VALKEY_URL": settings.valkey_url,
        "ORCHESTRATOR_HOME": str(settings.home),
        "ORCHESTRATOR_PROCESS_LEVEL": "shim",
    }
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, agent_id],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as worker:
        ready = settings.workspaces_dir / agent_id / "tree" / "ready"
        eventually(ready.exists)
        eventually(lambda: host.state(agent_id).status == "running")
        worker.send_signal(signal.SIGKILL)


def rescue(host: Host) -> None:
    """Recover the agents whose lease has ended, as the sweep does later."""
    later = clock() + timedelta(seconds=3600)
    rescuer = host.services.rescuer
    replace(rescuer, holder=replace(rescuer.holder, clock=lambda: later)).sweep()


@pytest.fixture
def lost(host: Host) -> str:
    """An agent whose worker was killed while it worked."""
    agent_id = host.spawn(json.dumps({"steps": [{"run": FIRST}]}))
    start_and_kill(host, agent_id)
    return agent_id


def named(state: AgentState) -> dict[str, tuple[int | None, ...]]:
    """Return the attempts that left each path out."""
    found: dict[str, tuple[int | None, ...]] = {}
    for one in state.left_out or ():
        for path in one.paths:
            found[path] = (*found.get(path, ()), one.attempt)
    return found


def orch(host: Host, *arguments: str) -> str:
    """Run a command of the CLI on this host; returns both outputs."""
    environment = {
        "VALKEY_URL": host.settings.valkey_url,
        "ORCHESTRATOR_HOME": str(host.settings.home),
    }
    done = CliRunner().invoke(main, arguments, env=environment)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_next_attempt_on_the_host_keeps_what_the_dead_one_left_out(
    host: Host, lost: str
) -> None:
    rescue(host)
    state = host.run(lost)
    assert state.phase == "awaiting-gates", state.error
    # The recovery counts as an attempt.
    assert named(state) == {"a.ign": (1,), "b.ign": (3,)}
    # The second attempt continued from the first, so its bundle has the stash of both.
    assert [one.ref for one in state.retained or ()] == ["stash@{0}"]
    text = orch(host, "inspect", lost)
    assert "a.ign" in text
    assert "b.ign" in text


def test_it_is_still_named_when_the_agent_has_ended(host: Host, lost: str) -> None:
    rescue(host)
    host.run(lost)
    host.services.gate_check.run(lost, 3)
    state = host.state(lost)
    assert state.status in FINAL
    host.services.cleanup.run(lost)
    assert "a.ign" in named(host.state(lost))


def test_another_host_that_ran_the_next_attempt_first_loses_neither(
    host: Host, lost: str, tmp_path: Path
) -> None:
    rescue(host)
    settings = host.settings.model_copy(update={"home": tmp_path / "there"})
    (tmp_path / "scratch-there").mkdir()
    there = Host(settings, host.store, host.remote, tmp_path / "scratch-there", "spawn@there")
    # There the first attempt left nothing, so the second one starts from the base.
    runner = replace(there.services.runner, backends=lambda _: Afresh(there, AFRESH))
    runner.run(lost)
    assert host.state(lost).phase == "awaiting-gates", host.state(lost).error
    # Only now the host of the first attempt stores what that one left.
    eventually(
        lambda: (
            host_cleaner(host.settings, worker="cleanup@here").sweep(),
            host.store.run(changes.has_change(lost, 1)),
        )[1]
    )
    state = host.state(lost)
    assert "a.ign" in named(state)
    assert [one.ref for one in state.retained or ()] == ["attempt-1"]
    assert "attempt-1" in orch(host, "diff", lost)
    assert "+first" in orch(host, "diff", lost, "--ref", "attempt-1")
    stash = orch(host, "diff", lost, "--ref", "attempt-1/stash@{0}")
    assert "+stashed" in stash
    file = tmp_path / "attempt.bundle"
    orch(host, "export", lost, "--ref", "attempt-1", "-o", str(file))
    clone = tmp_path / "clone"
    git("clone", "-q", str(host.remote), str(clone), cwd=tmp_path)
    git("fetch", "-q", str(file), "refs/orchestrator/*:refs/retained/*", cwd=clone)
    assert git("show", "refs/retained/change:first.txt", cwd=clone) == "first"
    # A delivery does not remove it either.
    host.services.cleanup.run(lost)
    assert host.store.run(changes.has_change(lost, 1))


class Afresh:
    """The scripted backend, which plays another script."""

    def __init__(self, host: Host, command: str) -> None:
        self._backend = host.services.runner.backends("scripted")
        self._script = json.dumps({"steps": [{"run": command}]})

    def launch(self, job):
        """Launch."""
        return self._backend.launch(replace(job, work_items=(self._script,)))

    def __getattr__(self, name: str):
        return getattr(self._backend, name)
