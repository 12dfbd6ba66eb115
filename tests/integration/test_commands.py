"""A command that is run to its end is bounded in memory and in time."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from orchestrator.errors import LeaseLost
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.process import build
from orchestrator.settings import load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    def start(command, **options):
        spec = ProcessSpec("a-1", ("sh", "-c", command), {"PATH": os.environ["PATH"]}, tmp_path)
        options = {"timeout_s": 20, "output_limit_bytes": 1000, **options}
        return run_to_end(
            build(load_settings({"ORCHESTRATOR_PROCESS_LEVEL": "shim"})), spec, **options
        )

    return start


def test_it_tells_what_was_said_and_how_it_ended(run):
    ended = run("echo out; echo err >&2; exit 3")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, b"out\n", b"err\n")
    assert not ended.timed_out
    assert not ended.truncated
    assert ended.duration_ms >= 0


def test_output_is_kept_up_to_the_limit_of_each_stream(run):
    ended = run("head -c 200000 /dev/zero; echo err >&2")
    assert (len(ended.stdout), ended.stderr, ended.truncated) == (1000, b"err\n", True)


def test_output_of_just_the_limit_is_not_truncated(run):
    assert not run("head -c 1000 /dev/zero").truncated


def test_the_tree_is_killed_at_the_deadline_and_what_it_said_is_kept(run, tmp_path):
    said = tmp_path / "said"
    ended = run("echo said; touch said; sleep 1000", clock=lambda: 100.0 if said.exists() else 0.0)
    assert (ended.exit_code, ended.timed_out, ended.stdout) == (-9, True, b"said\n")
    assert ended.duration_ms == 100_000


def test_what_the_check_raises_ends_the_tree(run, tmp_path):
    pid = tmp_path / "pid"

    def check():
        if pid.exists() and pid.read_text().endswith("\n"):
            raise LeaseLost

    with pytest.raises(LeaseLost):
        run("setsid sh -c 'echo $$ > pid; sleep 1000' & wait", check=check)
    assert not Path("/proc", pid.read_text().strip()).exists()


def test_a_command_that_never_stops_talking_meets_its_deadline(run):
    ticks = count()
    assert run("cat /dev/zero", clock=lambda: float(next(ticks))).timed_out


def test_a_gigabyte_of_output_takes_no_more_memory_than_what_is_kept(tmp_path):
    program = """
import os, resource
from pathlib import Path
from orchestrator.interfaces.run import run_to_end
from orchestrator.errors import LeaseLost
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.process import ProcessSandbox

argv = ("head", "-c", "1000000000", "/dev/zero")
spec = ProcessSpec("a-1", argv, {"PATH": os.environ["PATH"]}, Path.cwd())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ended = run_to_end(ProcessSandbox(10, "test"), spec, timeout_s=100, output_limit_bytes=1000)
assert ended.exit_code == 0 and ended.truncated, ended
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert int(ran.stdout) < 10_000  # KiB
