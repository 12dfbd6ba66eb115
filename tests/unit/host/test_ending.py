"""How orphans are ended: shims are asked first, all others stopped, and nothing waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import orchestrator
from orchestrator.host import processes
from orchestrator.host.processes import (
    Host,
    LabelledProcess,
    end,
    labelled_processes,
    process_label,
    system_label,
)
from tests.processes import Observer, catches, eventually

SHIM = Path(orchestrator.__file__).parent / "sandboxes" / "_shim.py"
#: Its daemon leaves the group, has no label, and prints its pid.
LEAVES = """
import os, time
if os.fork():
    time.sleep(99)
os.setsid()
os.execve("/bin/sh", ["sh", "-c", "echo $$; exec sleep 99"], {})
"""


@contextmanager
def labelled(home: Path, *argv: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with the labels of agent a-1."""
    env = {"ORCH_AGENT_ID": "a-1", "ORCH_SYSTEM": system_label(home), **more}
    with subprocess.Popen(argv, env=env) as started:
        try:
            yield started
        finally:
            started.kill()


def seen(started: subprocess.Popen[bytes], *, is_shim: bool = False) -> LabelledProcess:
    mark = process_label(started.pid)
    return LabelledProcess(started.pid, mark, os.getpid(), "a-1", is_shim)


@pytest.fixture
def signals(monkeypatch):
    """The signals that are sent, in order; none arrives."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(processes, "_signal", lambda pid, number: sent.append((pid, number)))
    return sent


def test_all_are_stopped_before_one_is_killed_and_who_lives_on_is_named(tmp_path, signals):
    with labelled(tmp_path, "sleep", "99") as one, labelled(tmp_path, "sleep", "99") as two:
        pids = one.pid, two.pid
        assert end([seen(one), seen(two)], within_s=1) == tuple(sorted(pids))
        assert sorted(signals[:2]) == sorted((pid, signal.SIGSTOP) for pid in pids)
        assert {*signals[2:]} == {(pid, signal.SIGKILL) for pid in pids}
        host = Host(tmp_path)
        assert host.end_orphans(within_s=5) == {"a-1"}
        assert host.end_all(within_s=5) == ({"a-1"}, tuple(sorted(pids)))


def test_a_shim_is_woken_and_asked_and_then_killed(tmp_path, signals):
    with labelled(tmp_path, "sleep", "99") as one:
        assert end([seen(one, is_shim=True)], within_s=2) == (one.pid,)
        first = [(one.pid, signal.SIGCONT), (one.pid, signal.SIGUSR1)]
        assert (signals[:2], {*signals[2:]}) == (first, {(one.pid, signal.SIGKILL)})


def test_neither_the_dead_nor_another_process_with_the_same_pid_lives(tmp_path):
    with labelled(tmp_path, "sleep", "99") as one:
        label = process_label(one.pid)
        assert Host(tmp_path).lives(label)
        assert not Host(tmp_path).lives(f"{one.pid}:1")
        one.kill()
    assert not Host(tmp_path).lives(label)


def test_nobody_is_named_who_has_ended(tmp_path):
    with labelled(tmp_path, "sleep", "99") as one:
        assert end([seen(one)], within_s=60) == ()
        assert one.wait(240) == -signal.SIGKILL


def test_a_stopped_shim_whose_worker_is_gone_ends_also_what_has_no_label(tmp_path):
    """The pipe is held open here, so that only the signal tells it."""
    read, control = os.pipe()
    status, write = os.pipe()
    options = (str(read), str(write), "99", "1:1", "0", "", "0", "", "")
    argv = (sys.executable, "-I", "-S", str(SHIM), *options, sys.executable, "-c", LEAVES)
    env = {"ORCH_AGENT_ID": "a-1", "ORCH_SYSTEM": system_label(tmp_path), "PATH": os.defpath}
    observer = Observer()
    with subprocess.Popen(argv, env=env, pass_fds=(read, write), stdout=subprocess.PIPE) as shim:
        try:
            daemon = int(shim.stdout.readline())
            labels = {one.pid for one in labelled_processes(system_label(tmp_path))}
            assert len(labels) == 2
            assert daemon not in labels
            observer.record(daemon, *labels)
            eventually(lambda: catches(shim.pid, signal.SIGUSR1))
            shim.send_signal(signal.SIGSTOP)
            assert Host(tmp_path).end_orphans(within_s=60) == {"a-1"}
            assert not observer.alive()
        finally:
            observer.end()
            for descriptor in (read, control, status, write):
                os.close(descriptor)


def test_who_has_no_agent_or_a_short_command_line_is_no_shim(tmp_path):
    with (
        labelled(tmp_path, "sleep", "99", ORCH_AGENT_ID=""),
        labelled(tmp_path, "sleep", "99") as one,
    ):
        [found] = labelled_processes(system_label(tmp_path))
        assert (found.pid, found.agent_id, found.is_shim) == (one.pid, "a-1", False)
    # An agent may call itself a shim; without the arguments of one it must not end the scan.
    script = "print(flush=True); import time; time.sleep(99)"
    with labelled(tmp_path, sys.executable, "-c", script, str(SHIM)) as one:
        eventually(lambda: b"print" in Path(f"/proc/{one.pid}/cmdline").read_bytes())
        [found] = labelled_processes(system_label(tmp_path))
        assert (found.pid, found.is_shim) == (one.pid, False)
    argv = ("sleep", "99", *"0000000")
    with labelled(tmp_path, *argv) as one:
        [found] = labelled_processes(system_label(tmp_path))
        assert (found.pid, found.is_shim) == (one.pid, False)


def test_two_looks_have_a_pause_between_them_and_a_look_without_suspects_is_the_only_one(
    tmp_path, monkeypatch
):
    one = LabelledProcess(2**22 + 1, "4194305:1", 1, "a-1", is_shim=False)
    found, did = [one], []
    monkeypatch.setattr(processes.time, "sleep", lambda _: did.append("pause"))
    look = lambda _: did.append("look") or tuple(found)  # noqa: E731
    monkeypatch.setattr(processes, "labelled_processes", look)
    assert Host(tmp_path).orphans() == {"a-1": (one.pid,)}
    assert did == ["look", "pause", "look"]
    found.clear()
    did.clear()
    assert Host(tmp_path).end_orphans(within_s=99) == frozenset()
    assert did == ["look"]


class Elsewhere:
    """A sandbox whose programs are not below their worker."""

    def end_orphans(self) -> frozenset[str]:
        return frozenset({"a-8"})

    def orphans(self) -> dict[str, tuple[int, ...]]:
        return {"a-1": (9, 8)}

    def end_all(self) -> frozenset[str]:
        return frozenset({"a-9"})


def test_what_runs_elsewhere_is_ended_and_counted_too(tmp_path):
    host = Host(tmp_path, Elsewhere())
    assert host.end_orphans(within_s=1) == {"a-8"}
    assert host.orphans() == {"a-1": (8, 9)}
    assert host.end_all(within_s=1) == ({"a-9"}, ())
