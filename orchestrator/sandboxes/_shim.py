"""The process between a worker and a program: it outlives neither and leaves no descendant.

`process.py` runs this file on its own: `python -I -S _shim.py CONTROL STATUS DEADLINE OWNER LIMIT
CGROUP INSIDE ENV RECORD PROGRAM [ARGUMENT…]`.

CONTROL is the read end of a pipe whose only write end is the worker's. The byte `t` sends SIGTERM
to the program's group, `.` is the heartbeat, `k` ends the whole tree. These also end the tree: the
end of the pipe (the worker has ended), DEADLINE seconds without a byte (the worker is stopped or
stalled), and the signal SIGUSR1. The host cleaner sends SIGUSR1; from OWNER it knows the expected
parent of this process.

STATUS receives lines for the worker: `started <pid>`, or `refused <errno>`; `unheard` if DEADLINE
ended the tree; `killed <pid>…` for the killed processes (the first 1,000). When no descendant is
left, it receives `ended <exit code> <when>`. The code is negative for a signal; the instant is by
the clock that all processes of a host share (CLOCK_MONOTONIC).

The end of the whole tree is reliable because this process is a subreaper: every process that loses
its parent becomes a child of this one, also a daemon with its own session. Therefore no descendant
exists when `waitpid` reports no child. CGROUP, if not empty, is the beginning of the path of a
cgroup for the program, two levels below this process's own; with it the kernel ends all processes
at once. LIMIT is the largest file that may be written, in bytes (0: any). With INSIDE `1` the
program is bubblewrap, which runs `_init.py`; that reports the program proper on descriptor 3. The
program's environment is this process's own, and the content of the descriptor ENV, if not empty:
`NAME=value` entries separated by NUL, as in /proc. RECORD, if not empty, is the beginning of the
path of a file that exists until this process has seen the end of the whole tree. Its lines are: the
id of the boot, the cgroup and the PID namespace of the program, as far as it has its own.
"""

from __future__ import annotations

# Not `signal` and `contextlib`: they double the time that Python takes to start.
import _signal as signal  # type: ignore[import-not-found]
import ctypes
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PR_SET_CHILD_SUBREAPER = 36
_LONGEST_PAUSE_S = 0.05
_SHOWN_PIDS = 1000
_FILES_AT_MOST = 65_536
#: If memory runs out, the kernel ends a process with this score before a worker or Valkey.
_OOM_SCORE = 500
#: The descriptor to which `_init.py` writes.
_REPORT = 3


class _Suppressed:
    """The suppression of some errors, as by the module that is not imported."""

    def __init__(self, *errors: type[Exception]) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        """Tell whether the error is one of them."""
        return kind is not None and issubclass(kind, self._errors)


class Tree:
    """The program and its descendants."""

    def __init__(
        self, argv: list[str], cgroup: str, environment: bytes, *, is_inside: bool
    ) -> None:
        self._cgroup = cgroup
        self._environment = environment
        self._report = -1
        self.exit_code: int | None = None
        self.killed: dict[int, None] = {}
        self._enter_cgroup()
        try:
            self.program = self._confined(argv) if is_inside else self._start(argv)
        except OSError:
            self._leave_cgroup()
            self._remove_cgroup()
            raise
        # A process that was born meanwhile stays in the cgroup.
        self._leave_cgroup()

    def _confined(self, argv: list[str]) -> int:
        self._report, write = os.pipe()
        try:
            program = self._start(argv, file_actions=((os.POSIX_SPAWN_DUP2, write, _REPORT),))
        finally:
            os.close(write)
        # One word of eight bytes, because the next may already be in the pipe.
        if (heard := os.read(self._report, 8)) == b"started\n":
            return program
        # No word: bubblewrap has failed and reported the reason on standard error.
        cause = int(os.read(self._report, 100)) if heard else 0
        os.waitpid(program, 0)
        raise OSError(cause, "refused")

    def _start(self, argv: list[str], **more: Any) -> int:
        # The initial block, because Python may have added LC_CTYPE to `os.environ` (PEP 538).
        block = (self._environment + b"\0" + _read("/proc/self/environ")).split(b"\0")
        # A process begins with the score of its parent; this one, which ends the tree, stays.
        own = _read("/proc/self/oom_score_adj")
        _write("/proc/self/oom_score_adj", b"%d" % max(int(own), _OOM_SCORE))
        try:
            return os.posix_spawnp(
                argv[0],
                argv,
                dict(entry.split(b"=", 1) for entry in block if entry),
                setpgroup=0,
                setsigmask=(),
                # The program must not inherit the signals that Python, this shim or the worker
                # ignores.
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
                **more,
            )
        finally:
            _write("/proc/self/oom_score_adj", own)

    def _enter_cgroup(self) -> None:
        if self._cgroup:
            os.makedirs(self._cgroup)  # noqa: PTH103 - as in `_read`
            _write(f"{self._cgroup}/cgroup.procs", b"0")

    def _leave_cgroup(self) -> None:
        if self._cgroup:
            _write(f"{self._cgroup}/../../cgroup.procs", b"0")

    def _remove_cgroup(self) -> None:
        # Not empty if the program made cgroups in it; the host cleaner removes them.
        if self._cgroup:
            with _Suppressed(OSError):
                os.rmdir(self._cgroup)  # noqa: PTH106 - as in `_read`

    def reap(self) -> bool:
        """Reap ended processes; return whether any process of the tree is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.program:
                self.exit_code = self._reported(os.waitstatus_to_exitcode(status))

    def _reported(self, exit_code: int) -> int:
        """Return the exit code of the program proper, if another process was waited for."""
        if self._report < 0:
            return exit_code
        words = os.read(self._report, 100).split()
        # No report means that it was killed; bubblewrap reports signals as a shell does.
        return int(words[1]) if words else -signal.SIGKILL

    def ask_to_end(self) -> None:
        """Send SIGTERM to the program's process group."""
        with _Suppressed(OSError):
            if self._report < 0:
                os.killpg(self.program, signal.SIGTERM)
            else:
                # To the first process inside, which forwards it; bubblewrap itself would only end.
                os.kill(_children(self.program)[0], signal.SIGTERM)

    def end(self) -> None:
        """Kill until no process is left; the next pass ends processes that fork meanwhile."""
        pause_s = 0.0005
        if self._cgroup:
            # Recorded first, as below; processes that escape the record are killed as well.
            self.killed = dict.fromkeys(_descendants(os.getpid()))
            with _Suppressed(OSError):
                _write(f"{self._cgroup}/cgroup.kill", b"1")
        while self.reap():
            for pid in _descendants(os.getpid()):
                self.killed[pid] = None
                with _Suppressed(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._remove_cgroup()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - importing pathlib doubles the start-up time
        return file.read()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123 - as in `_read`
        file.write(data)


def _held(descriptor: str) -> bytes:
    if not descriptor:
        return b""
    with open(int(descriptor), "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read()


def _named_after_me(path: str) -> str:
    # With it, the host cleaner can check whether this process lives.
    born = _read("/proc/self/stat").rpartition(b")")[2].split()[19].decode()
    return path and f"{path}.{os.getpid()}:{born}"


def _write_record(record: str, cgroup: str, namespace: str) -> None:
    if record:
        boot = _read("/proc/sys/kernel/random/boot_id").decode().strip()
        _write(record, f"{boot}\n{cgroup}\n{namespace}\n".encode())


def _remove_record(record: str) -> None:
    with _Suppressed(OSError):
        os.unlink(record)  # noqa: PTH108 - as in `_read`


def _namespace(program: int) -> str:
    # Of the first process inside. Without it, no namespace will be seen to be empty.
    with _Suppressed(OSError, IndexError):
        found = os.readlink(f"/proc/{_children(program)[0]}/ns/pid")  # noqa: PTH115 - as in `_read`
        return found if found != os.readlink("/proc/self/ns/pid") else ""  # noqa: PTH115
    return ""


def _limit(resource_id: int, most: int) -> None:
    _, hard = resource.getrlimit(resource_id)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource_id, (least, least))


def _become_subreaper() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _descendants(pid: int) -> list[int]:
    # All descendants, not only children: a long chain then ends in one pass.
    found: list[int] = []
    waiting = [pid]
    while waiting:
        # Threads have children too; the children of an ended process become children of this one.
        with _Suppressed(OSError):
            children = _children(waiting.pop())
            waiting += children
            found += children
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as in `_read`
        found += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
    return found


def _await_end(tree: Tree, control: int, deadline_s: float) -> bool:
    """Return when the program has ended, the worker orders its end, or the worker has ended.

    Returns False only if the worker, which still lives, was not heard for `deadline_s`.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    os.set_blocking(control, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    heard_at = time.monotonic()
    while tree.reap() and tree.exit_code is None:
        left_s = heard_at + deadline_s - time.monotonic()
        ready = poller.poll(max(left_s, 0) * 1000)
        # The deadline has passed; but if this process was itself stopped, the heartbeat is in the
        # pipe.
        if not ready and left_s <= 0:
            return False
        for fd, _ in ready:
            said = os.read(fd, 4096)
            if fd != control:
                if signal.SIGUSR1 in said:
                    return True
                continue
            if not said or b"k" in said:
                return True
            heard_at = time.monotonic()
            if b"t" in said:
                tree.ask_to_end()
    return True


def main() -> None:
    """Run the program, and end only when its whole tree has ended."""
    control, status, deadline_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # It would end this process before its tree; it waits until it is handled.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _FILES_AT_MOST)
    if file_limit := int(sys.argv[5]):
        _limit(resource.RLIMIT_FSIZE, file_limit)
    record = _named_after_me(sys.argv[9])
    try:
        _become_subreaper()
        # Without this file (CONFIG_PROC_CHILDREN) no descendants can be found, so the start is
        # refused.
        _read(f"/proc/self/task/{os.getpid()}/children")
        cgroup, environment = _named_after_me(sys.argv[6]), _held(sys.argv[8])
        _write_record(record, cgroup, "")
        is_inside = sys.argv[7] == "1"
        tree = Tree(sys.argv[10:], cgroup, environment, is_inside=is_inside)
        _write_record(record, cgroup, _namespace(tree.program) if is_inside else "")
    except OSError as error:
        _remove_record(record)
        os.write(status, f"refused {error.errno}\n".encode())
        return
    was_heard = True
    try:
        with _Suppressed(BrokenPipeError):
            os.write(status, f"started {tree.program}\n".encode())
        was_heard = _await_end(tree, control, deadline_s)
    finally:
        tree.end()
    _remove_record(record)
    ended_at_s = time.monotonic()
    killed = " ".join(map(str, list(tree.killed)[:_SHOWN_PIDS]))
    unheard = "" if was_heard else "unheard\n"
    report = f"{unheard}killed {killed}\nended {tree.exit_code} {ended_at_s}\n"
    with _Suppressed(BrokenPipeError):
        os.write(status, report.encode())


if __name__ == "__main__":
    main()
    # Python's own cleanup takes longer than a kill.
    os._exit(0)
