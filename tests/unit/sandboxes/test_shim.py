"""The shim alone: what it tells its worker, and which words and signals end its tree."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import orchestrator.sandboxes
from orchestrator.host import cgroups
from tests.processes import Observer, blocks, catches, eventually, stat_of

SHIM = Path(orchestrator.sandboxes.__file__).with_name("_shim.py")
#: Has no environment and its own session, and writes its pid.
DAEMON = """
import os
os.setsid()
with open("d", "w") as file:
    file.write(str(os.getpid()))
os.execve("/bin/sleep", ["sleep", "99"], {})
"""
LEAVES = ("sh", "-c", f"'{sys.executable}' -ISc '{DAEMON}' & until [ -s d ]; do sleep 0.01; done")
STAYS = (*LEAVES[:2], f"{LEAVES[2]}; echo ready; exec sleep 99")


class Shim:
    """A running shim; this process holds both pipes."""

    def __init__(self, process: subprocess.Popen[bytes], control: int, status: int) -> None:
        self.process = process
        self.control = control
        self._status = status

    def say(self, word: bytes) -> None:
        """Write to the control pipe."""
        os.write(self.control, word)

    def last_word(self) -> list[list[str]]:
        """Wait for its end; return the words of each line of its report."""
        self.process.wait(240)
        return [line.split() for line in os.read(self._status, 9999).decode().splitlines()]

    def await_ready(self) -> None:
        """Wait for the program's first line."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"


@contextmanager
def shim(
    folder: Path,
    *argv: str,
    deadline_s: float = 60,
    limit: int = 0,
    record: str = "",
    said: bytes = b"",
    environment: int | None = None,
    cgroup: str = "",
    inside: str = "0",
) -> Iterator[Shim]:
    """Start a shim with a program; it reads a part of its environment from a descriptor."""
    read, control = os.pipe()
    status, write = os.pipe()
    os.write(control, said)
    held = "" if environment is None else str(environment)
    pipes, limits = (str(read), str(write)), (str(deadline_s), "1:1", str(limit))
    options = (*pipes, *limits, cgroup, inside, held, record)
    started = subprocess.Popen(
        [sys.executable, "-I", "-S", str(SHIM), *options, *argv],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=(read, write, *([environment] if held else [])),
    )
    os.close(read)
    os.close(write)
    try:
        yield Shim(started, control, status)
    finally:
        # The end of the pipe ends the tree.
        os.close(control)
        try:
            started.wait(5)
        finally:
            started.kill()
            started.wait()
            started.stdout.close()
            os.close(status)


@pytest.fixture
def observer() -> Iterator[Observer]:
    watching = Observer()
    yield watching
    watching.end()


def note_daemon(folder: Path, observer: Observer) -> int:
    """Remember the daemon that a program left."""
    daemon = int((folder / "d").read_text())
    observer.record(daemon)
    return daemon


def test_it_reports_start_and_end_and_leaves_nothing_in_the_folder(tmp_path):
    with shim(tmp_path, "sh", "-c", "exit 5") as one:
        started, killed, ended = one.last_word()
    assert (started[0], killed, ended[:2]) == ("started", ["killed"], ["ended", "5"])
    assert float(ended[2]) > 0
    assert list(tmp_path.iterdir()) == []


def test_what_the_program_leaves_is_killed_and_named(tmp_path, observer):
    with shim(tmp_path, *LEAVES) as one:
        _, killed, ended = one.last_word()
        daemon = note_daemon(tmp_path, observer)
    assert killed == ["killed", str(daemon)]
    assert ended[:2] == ["ended", "0"]
    assert not observer.alive()


@pytest.mark.parametrize("how", ["word", "end of the pipe", "signal", "silence"])
def test_each_order_ends_the_daemon_too_and_only_silence_is_told_as_such(tmp_path, observer, how):
    with shim(tmp_path, *STAYS, deadline_s=1 if how == "silence" else 60) as one:
        one.await_ready()
        daemon = note_daemon(tmp_path, observer)
        if how == "word":
            one.say(b".k.")
        elif how == "signal":
            eventually(lambda: catches(one.process.pid, signal.SIGUSR1))
            one.process.send_signal(signal.SIGUSR1)
        elif how == "end of the pipe":
            os.dup2(os.open(os.devnull, os.O_WRONLY), one.control)
        started, *unheard, killed, ended = one.last_word()
    assert unheard == ([["unheard"]] if how == "silence" else [])
    assert {started[1], str(daemon)} <= set(killed)
    assert ended[:2] == ["ended", "-9"]
    assert not observer.alive()


def test_a_word_that_waits_in_the_pipe_counts_although_the_time_is_over(tmp_path):
    """As after a stop of the shim itself."""
    with shim(tmp_path, "sleep", "99", deadline_s=0, said=b"k") as one:
        assert [line[0] for line in one.last_word()] == ["started", "killed", "ended"]


def test_only_the_word_for_it_asks_the_program_to_end(tmp_path):
    script = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    with shim(tmp_path, "sh", "-c", script) as one:
        one.await_ready()
        for _ in range(3):
            one.say(b".")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            one.process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            one.process.wait(0.3)
        one.say(b"t")
        assert one.last_word()[-1][:2] == ["ended", "3"]
        assert one.process.stdout.read() == b"asked\n"


def test_a_program_that_does_not_exist_is_refused_without_a_record(tmp_path):
    with shim(tmp_path, "no-such-program", record=str(tmp_path / "a-1.1")) as one:
        assert one.last_word() == [["refused", "2"]]
    assert list(tmp_path.iterdir()) == []


def test_the_record_names_shim_and_boot_until_all_has_ended(tmp_path):
    argv = ("sh", "-c", "echo ready; exec sleep 99")
    with shim(tmp_path, *argv, record=str(tmp_path / "a-1.1")) as one:
        one.await_ready()
        [record] = tmp_path.iterdir()
        pid = one.process.pid
        assert record.name == f"a-1.1.{pid}:{stat_of(pid)[19]}"
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        # It is written again when the program runs.
        eventually(lambda: record.read_text() == f"{boot}\n\n")
        one.say(b"k")
        one.last_word()
        assert list(tmp_path.iterdir()) == []


def test_the_record_of_a_program_inside_names_its_namespace(tmp_path):
    argv = ("unshare", "--pid", "--fork", "sh", "-c", "echo started >&3; echo ready; sleep 99")
    with shim(tmp_path, *argv, record=str(tmp_path / "a-1.1"), inside="1") as one:
        one.await_ready()
        [record] = tmp_path.iterdir()
        # It has two lines until the program runs.
        eventually(lambda: "\npid:[" in record.read_text())


@pytest.mark.parametrize("program", ["sleep", "no-such-program"])
def test_its_cgroup_is_gone_when_it_has_ended(tmp_path, program):
    where = cgroups.delegated(f"test-{os.getpid()}")
    with shim(tmp_path, program, "99", cgroup=str(where / "a-1.1")) as one:
        if program == "sleep":
            eventually(lambda: any(file.read_text() for file in where.glob("a-1.1.*/*.procs")))
            one.say(b"k")
        one.last_word()
    assert not list(where.glob("a-1.1.*"))
    where.rmdir()


def test_limits_and_the_order_of_a_lack_of_memory_are_the_programs_own(tmp_path):
    own = Path("/proc/self/oom_score_adj").read_text()
    script = "cat /proc/self/oom_score_adj; ulimit -n; ulimit -c; ulimit -f; echo ready; sleep 99"
    limited = (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)
    before = {kind: resource.getrlimit(kind) for kind in limited}
    most_files = before[resource.RLIMIT_NOFILE][1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, most_files))
    resource.setrlimit(resource.RLIMIT_CORE, (before[resource.RLIMIT_CORE][1],) * 2)
    with shim(tmp_path, "sh", "-c", script, limit=2**20) as one:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)
        score, files, core, size = (int(one.process.stdout.readline()) for _ in range(4))
        one.await_ready()
        # The program may run before its shim has its own score again.
        score_file = Path(f"/proc/{one.process.pid}/oom_score_adj")
        eventually(lambda: score_file.read_text() == own)
    assert score >= 500
    assert files == min(most_files, 65_536)
    assert (core, size * 512) == (0, 2**20)


def test_the_program_has_no_pipe_of_the_shim(tmp_path):
    with shim(tmp_path, "sh", "-c", "ls /proc/$$/fd; true") as one:
        assert one.process.stdout.read().split() == [b"0", b"1", b"2"]


def test_ignored_signals_are_not_ignored_by_the_program(tmp_path):
    with shim(tmp_path, "sh", "-c", "kill -TERM $$") as one:
        assert one.last_word()[-1][:2] == ["ended", str(-signal.SIGTERM)]


def test_orphans_are_reaped_while_the_program_runs(tmp_path):
    with shim(tmp_path, "sh", "-c", "(true &); (true &); echo ready; exec sleep 99") as one:
        one.await_ready()
        children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children")
        eventually(lambda: len(children.read_text().split()) == 1)


def test_an_order_that_comes_before_the_program_ends_its_tree(tmp_path):
    read, write = os.pipe()
    with shim(tmp_path, "sleep", "99", environment=read) as one:
        os.close(read)
        eventually(lambda: blocks(one.process.pid, signal.SIGUSR1))
        one.process.send_signal(signal.SIGUSR1)
        os.close(write)
        started, _, ended = one.last_word()
    assert (started[0], ended[0]) == ("started", "ended")
