"""Who is a stray: nobody whom a live worker's shim stands above, however the look at them went."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import orchestrator
from orchestrator.host import processes
from orchestrator.host.processes import (
    Host,
    LabelledProcess,
    labelled_processes,
    orphans,
    process_label,
    system_label,
)
from tests.processes import Observer, eventually

ROOT = Path(__file__).parents[3]
#: No process has such a pid.
NOBODY = 2**22 + 1
WORKER, SHIM, PROGRAM, CHILD = (NOBODY + number for number in range(4))


def process(
    pid: int, parent: int, *, is_shim: bool = False, has_owner: bool = False
) -> LabelledProcess:
    return LabelledProcess(pid, f"{pid}:1", parent, "a-1", is_shim, has_owner)


def test_what_stands_below_a_workers_shim_is_none():
    shim = process(SHIM, WORKER, is_shim=True, has_owner=True)
    assert orphans([process(CHILD, PROGRAM), shim, process(PROGRAM, SHIM)]) == ()


def test_all_below_a_shim_that_lost_its_worker_is_one():
    lost = [process(SHIM, 1, is_shim=True), process(PROGRAM, SHIM)]
    assert orphans(lost) == tuple(lost)


def test_who_lost_its_parent_while_it_was_looked_at_is_one():
    """Nobody has the pid of its parent any more, so that the way up ends there."""
    lost = [process(CHILD, PROGRAM)]
    assert orphans(lost) == tuple(lost)


def test_a_shim_of_a_worker_that_runs_for_an_agent_is_none():
    """An agent may start a system of its own, whose workers have the label of the agent."""
    worker, shim = process(WORKER, 1), process(SHIM, WORKER, is_shim=True, has_owner=True)
    assert orphans([worker, shim]) == (worker,)


def test_a_program_about_to_start_looks_like_its_shim_and_is_none():
    """Between fork and exec it has the command line of the shim, whose child it is."""
    shim = process(SHIM, WORKER, is_shim=True, has_owner=True)
    assert orphans([shim, process(PROGRAM, SHIM, is_shim=True)]) == ()


def test_a_program_without_a_shim_is_ended_and_one_of_another_system_is_not(tmp_path):
    own, other = (
        subprocess.Popen(
            [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"],
            env={"ORCH_AGENT_ID": "a-1", "ORCH_SYSTEM": system_label(tmp_path / home)},
            stdout=subprocess.PIPE,
        )
        for home in ("own", "other")
    )
    with own, other:
        try:
            for started in (own, other):
                assert started.stdout.readline()
            host = Host(tmp_path / "own")
            assert host.orphans() == {"a-1": (own.pid,)}
            assert host.end_orphans(within_s=60) == {"a-1"}
            assert own.wait() < 0
            assert other.poll() is None
        finally:
            for started in (own, other):
                started.kill()


RUNS_GIT = """
import os, subprocess, sys
from orchestrator.host.cancel_scope import CancelScope, working_in
from orchestrator.host.processes import process_label
from orchestrator.workspace.host_program import run_program
marks = {"ORCH_AGENT_ID": "a-1", "ORCH_SYSTEM": sys.argv[1]}
marks["ORCH_OWNER"] = process_label(os.getpid())
with working_in(CancelScope(marks)):
    run_program(("sh", "-c", f"echo $$ > {sys.argv[2]}; sleep 600"), env=os.environ, timeout_s=600)
"""


#: Behind `-c` and a program: what the janitor takes for the command line of a shim.
LIKE_A_SHIM = [str(Path(orchestrator.__file__).parent / "sandboxes" / "_shim.py"), *"123"]


@contextmanager
def no_shim_above(home: Path, *argv: str | bytes) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of agent a-1 which prints a line."""
    env = {"ORCH_AGENT_ID": "a-1", "ORCH_SYSTEM": system_label(home)}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as started:
        try:
            assert started.stdout.readline()
            yield started
        finally:
            started.kill()


def test_a_command_line_that_is_no_text_ends_no_look(tmp_path):
    """A program chooses its own, and may let it look like a shim's."""
    program = "print(flush=True); import time; time.sleep(600)"
    argv = (sys.executable, "-c", program, *LIKE_A_SHIM, b"\xff")
    with no_shim_above(tmp_path, *argv) as started:
        assert Host(tmp_path).orphans() == {"a-1": (started.pid,)}


def test_what_names_no_process_does_not_live(tmp_path):
    """Whoever may make a cgroup chooses what stands there for `pid:start`."""
    assert not Host(tmp_path).lives("x:1")


#: Has another pid every few milliseconds, and does not do what a shim is asked to.
HOPS = """
import os, signal, time
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print(flush=True)
until = time.monotonic() + 40
while time.monotonic() < until and not os.fork():
    time.sleep(0.02)
"""


@pytest.mark.parametrize("checks", [[], [*LIKE_A_SHIM, "4"]], ids=["as it is", "like a shim"])
def test_what_is_another_process_at_each_look_is_found_and_ended(tmp_path, checks):
    with no_shim_above(tmp_path, sys.executable, "-c", HOPS, *checks):
        host = Host(tmp_path)
        assert host.orphans().keys() == {"a-1"}
        assert host.end_orphans(within_s=60) == {"a-1"}
        assert labelled_processes(system_label(tmp_path)) == ()
    with no_shim_above(tmp_path, sys.executable, "-c", HOPS, *checks):
        assert host.end_all(within_s=60) == ({"a-1"}, ())
        assert labelled_processes(system_label(tmp_path)) == ()


def test_what_a_worker_runs_itself_is_its_own_until_it_is_killed(tmp_path):
    """A push that hangs, for one: no shim stands above our own git."""
    pid_file = tmp_path / "pid"
    argv = [sys.executable, "-c", RUNS_GIT, system_label(tmp_path), str(pid_file)]
    with subprocess.Popen(argv, cwd=ROOT) as worker:
        try:
            eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
            observer = Observer()
            observer.record(int(pid_file.read_text()))
            host = Host(tmp_path)
            assert host.orphans() == {}
        finally:
            worker.kill()
    assert observer.alive()
    assert host.end_orphans(within_s=60) == {"a-1"}
    assert not observer.alive()


def test_of_an_agent_at_work_nobody_is_taken_at_first_sight(tmp_path, monkeypatch):
    """Its programs fork, and a look at them may miss who stands above."""
    own = process_label(os.getpid())
    at_work = replace(process(PROGRAM, os.getpid()), owner=own)
    left = replace(at_work, owner="2:2")
    children = (process(CHILD + number, 1) for number in range(4))
    looks = [[one, next(children)] for one in (at_work, at_work, left, left)]
    monkeypatch.setattr(processes, "labelled_processes", lambda _system: looks.pop(0))

    assert Host(tmp_path).orphans() == {}
    # Its worker has ended: then it is at work for nobody.
    assert Host(tmp_path).orphans() == {"a-1": (PROGRAM, CHILD + 3)}
