"""The process sandbox leaves nothing behind, whatever a program does and whoever dies first.

"Nothing" is read from the process table by an observer that knows the processes by a word on their
command lines, which they keep when they fork, and by the pids it noted before; zombies count.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.errors import BackendUnavailable, SettingsInvalid
from orchestrator.host.processes import Host
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.process import ProcessTree, build
from orchestrator.settings import load_settings

ROOT = Path(__file__).parents[2]
PATH = {"PATH": os.environ["PATH"]}
KINDS = ("child", "session", "daemon", "stubborn", "forker", "quick_forker", "stopped", "spinner")

#: A program with one descendant of each kind; `argv[1]` is the folder where each tells it is there.
TREE = r"""
import os, signal, sys, time

folder, kind = sys.argv[1], sys.argv[2]

def forever():
    while True:
        time.sleep(60)

def there(name):
    open(f"{folder}/{name}", "w").close()

def detach():
    os.setsid()
    if os.fork():
        os._exit(0)

def fork_away(pause_s):
    while True:
        if os.fork():
            os._exit(0)
        time.sleep(pause_s)

def start(name):
    if os.fork():
        return
    if name == "session":
        os.setsid()
    elif name not in ("child", "spinner"):
        detach()
    if name == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 256)
        os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, folder, name], {})
    there(name)
    if name == "forker":
        fork_away(0.005)
    if name == "quick_forker":
        fork_away(0)
    if name == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    while name == "spinner":
        pass
    forever()

if kind == "stubborn":
    there("stubborn")
    forever()
kinds = kind.split(",")
for name in kinds:
    start(name)
while not all(os.path.exists(f"{folder}/{name}") for name in kinds):
    time.sleep(0.005)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while not os.path.exists(f"{folder}/go"):
    time.sleep(0.005)
sys.exit(5)
"""

#: A worker that starts the program on its command line, at a level, and reads until it is killed.
WORKER = """
import os, sys
from pathlib import Path
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.process import build
from orchestrator.settings import load_settings

settings = load_settings({"ORCHESTRATOR_PROCESS_LEVEL": sys.argv[1]})
spec = ProcessSpec("a-1", tuple(sys.argv[2:]), {"PATH": os.environ["PATH"]}, Path.cwd())
with build(settings).start(spec) as process:
    while True:
        for chunk in process.read(1):
            os.write(1, chunk.data)
"""


class Observer:
    """Looks at the process table from outside."""

    def __init__(self, word: str) -> None:
        self._word = word.encode()
        self._noted: set[tuple[str, bytes]] = set()

    def record(self) -> int:
        """Remember the processes there are; returns how many."""
        found = {
            (pid, born)
            for pid, born in self._table()
            if self._word in self._read(Path("/proc", pid, "cmdline"))
        }
        self._noted |= found
        return len(found)

    def survivors(self) -> set[str]:
        """Return the pids that are alive, or dead and not reaped."""
        self.record()
        return {pid for pid, _ in self._noted & set(self._table())}

    def await_none(self) -> None:
        """Wait until there are none, for a bounded time."""
        deadline = time.monotonic() + 20
        while survivors := self.survivors():
            assert time.monotonic() < deadline, survivors
            time.sleep(0.01)

    def _table(self):
        for folder in Path("/proc").glob("[0-9]*"):
            if stat := self._read(folder / "stat"):
                yield folder.name, stat.rpartition(b")")[2].split()[19]

    def _read(self, path: Path) -> bytes:
        with suppress(OSError):
            return path.read_bytes()
        return b""


@pytest.fixture(params=["shim", "cgroup", "bubblewrap"])
def sandbox(request):
    """At every level that this host allows."""
    try:
        return build(load_settings({"ORCHESTRATOR_PROCESS_LEVEL": request.param, **PATH}))
    except SettingsInvalid as lack:
        pytest.skip(str(lack))


@pytest.fixture
def observer(tmp_path):
    watching = Observer(str(tmp_path))
    yield watching
    for pid in watching.survivors():
        with suppress(OSError):
            os.kill(int(pid), signal.SIGKILL)


def tree(folder, *kinds):
    program = folder / "tree.py"
    program.write_text(TREE)
    argv = (sys.executable, "-I", "-S", str(program), str(folder), ",".join(kinds))
    return ProcessSpec("a-1", argv, PATH, folder)


def open_descriptors():
    return {fd.name for fd in Path("/proc/self/fd").iterdir()}


def await_ready(process, observer, kinds=KINDS):
    while not (chunks := process.read(20)):
        assert process.exit_code is None
    assert b"".join(chunk.data for chunk in chunks) == b"ready\n"
    # A quick forker may hide from one look.
    while observer.record() < len(kinds):
        pass


def test_nothing_outlives_the_program(sandbox, observer, tmp_path):
    with sandbox.start(tree(tmp_path, *KINDS)) as process:
        await_ready(process, observer)
        (tmp_path / "go").touch()
        while process.exit_code is None:
            process.read(20)
        assert process.exit_code == 5
        assert not observer.survivors()


def test_nothing_outlives_a_kill(sandbox, observer, tmp_path):
    with sandbox.start(tree(tmp_path, *KINDS)) as process:
        await_ready(process, observer)
        process.kill()
        assert process.exit_code == -signal.SIGKILL
        assert not observer.survivors()


def test_nothing_outlives_the_context(sandbox, observer, tmp_path):
    with sandbox.start(tree(tmp_path, *KINDS)) as process:
        await_ready(process, observer)
    assert not observer.survivors()


def test_nothing_outlives_a_worker_that_is_killed(sandbox, observer, tmp_path):
    argv = (sandbox.level, *tree(tmp_path, *KINDS).argv)
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, *argv],
        cwd=tmp_path,
        env={**PATH, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdout.readline() == b"ready\n"
        while observer.record() < len(KINDS):
            pass
        worker.kill()
        worker.wait()
        observer.await_none()


def test_a_program_that_stops_its_shim_is_killed_none_the_less(sandbox, observer, tmp_path):
    with sandbox.start(tree(tmp_path, "daemon")) as process:
        await_ready(process, observer, ["daemon"])
        os.kill(process._shim.pid, signal.SIGSTOP)
        process.kill()
        assert not observer.survivors()


def test_a_program_that_kills_its_shim_fails_and_takes_its_group_along(sandbox, observer, tmp_path):
    with sandbox.start(tree(tmp_path, "child")) as process:
        await_ready(process, observer, ["child"])
        os.kill(process._shim.pid, signal.SIGKILL)
        while process.exit_code is None:
            process.read(20)
        assert process.exit_code == -signal.SIGKILL
        observer.await_none()


@pytest.mark.parametrize("sandbox", ["cgroup", "bubblewrap"], indirect=True)
def test_who_has_emptied_its_environment_does_not_outlive_a_killed_shim_unless_at_the_weakest_level(
    sandbox, observer, tmp_path
):
    """Confined, the kernel ends it; in a cgroup, the host's janitor does.

    Below a shim alone nothing that it left could be told from another's process.
    """
    with sandbox.start(tree(tmp_path, "stubborn", "forker", "child")) as process:
        await_ready(process, observer, ["stubborn", "forker", "child"])
        os.kill(process._shim.pid, signal.SIGKILL)
        while process.exit_code is None:
            process.read(20)
        if sandbox.level == "cgroup":
            assert observer.survivors()
            assert "a-1" in Host(load_settings({}).home).end_orphans(within_s=60)
        observer.await_none()


def test_orphans_are_reaped_while_the_program_runs(sandbox, tmp_path):
    """Else an agent that runs for hours would fill the table of processes with zombies."""
    command = "for n in 1 2 3; do (true &) ; done; echo ready; sleep 1000"
    spec = ProcessSpec("a-1", ("sh", "-c", command), PATH, tmp_path)
    with sandbox.start(spec) as process:
        assert process.read(20)
        children = Path(f"/proc/{process._shim.pid}/task/{process._shim.pid}/children")
        deadline = time.monotonic() + 20
        while len(children.read_text().split()) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_no_program_holds_the_pipe_of_another(sandbox, tmp_path):
    """A held write end would keep a shim from hearing that its worker is gone."""
    spec = ProcessSpec("a-1", ("sleep", "1000"), PATH, tmp_path)
    for _ in range(5):
        started: list[ProcessTree] = []
        together, seen = threading.Barrier(4), threading.Event()

        def run(together=together, seen=seen, started=started):
            together.wait()
            with sandbox.start(spec) as process:
                started.append(process)
                together.wait()
                seen.wait()

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        together.wait()
        together.wait()
        pipes = {Path(f"/proc/self/fd/{one._control.fileno()}").readlink() for one in started}
        held = [
            {fd.readlink() for fd in Path(f"/proc/{one._shim.pid}/fd").iterdir()} for one in started
        ]
        seen.set()
        for thread in threads:
            thread.join()
        # Its own, to read from.
        assert [len(pipes & links) for links in held] == [1, 1, 1]


def test_a_program_gets_three_descriptors_and_no_core_file(sandbox, tmp_path):
    spec = ProcessSpec("a-1", ("sh", "-c", "ls /proc/$$/fd; ulimit -c"), PATH, tmp_path)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        ended = run_to_end(sandbox, spec, timeout_s=20, output_limit_bytes=1000)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    assert ended.stdout.split() == [b"0", b"1", b"2", b"0"]


def test_all_is_read_of_a_pipe_that_the_program_made_larger(sandbox, tmp_path):
    program = "import fcntl, os; fcntl.fcntl(1, 1031, 2**20); os.write(1, bytes(2**20))"
    argv = (sys.executable, "-I", "-S", "-c", program)
    with sandbox.start(ProcessSpec("a-1", argv, PATH, tmp_path)) as process:
        process._shim.wait()
        size = 0
        while process.exit_code is None:
            size += sum(len(chunk.data) for chunk in process.read(20))
        assert size == 2**20
        assert process.read(0) == []


def test_neither_start_nor_failure_leaves_a_descriptor_open(sandbox, tmp_path):
    spec = ProcessSpec("a-1", ("true",), PATH, tmp_path)
    absent = ProcessSpec("a-1", ("no-such-program",), PATH, tmp_path)
    before = open_descriptors()
    for _ in range(3):
        run_to_end(sandbox, spec, timeout_s=20, output_limit_bytes=0)
        with pytest.raises(BackendUnavailable), sandbox.start(absent):
            pass
    assert open_descriptors() == before
