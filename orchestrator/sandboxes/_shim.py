"""The process between a worker and a program: it outlives neither and leaves no descendant.

`process.py` runs this file on its own:
`python -I -S _shim.py CONTROL STATUS DEADLINE OWNER PROGRAM [ARGUMENT…]`.
CONTROL is the read end of a pipe whose only write end is the worker's: `t` asks the program to end
(SIGTERM to its group), `.` says that the worker is well, `k` ends all. So does the end of the pipe
(the worker is gone, however it went), DEADLINE seconds without a word (it is stopped or stuck), and
the signal SIGUSR1 (sent by who cleans this host up, and knows by OWNER who should be its parent).
STATUS takes lines for the worker: `started <pid>`, or `refused <errno>`; `killed <pid>…` for what
had to be killed (the first 1,000), and when not one descendant is left, `ended <exit code> <when>`,
negative for a signal, and by the clock that all processes of a host share (CLOCK_MONOTONIC).

Ending all is sure because this process is a subreaper: whatever loses its parent, daemons with a
session of their own included, becomes a child of this one. So once `waitpid` knows no child, there
is no descendant either.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
_LONGEST_PAUSE_S = 0.05
_SHOWN_PIDS = 1000


class Tree:
    """The program and everything it started."""

    def __init__(self, argv: list[str]) -> None:
        # The initial block, because Python may have added LC_CTYPE to `os.environ` (PEP 538).
        block = _read("/proc/self/environ").split(b"\0")
        settable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        self.program = os.posix_spawnp(
            argv[0],
            argv,
            dict(entry.split(b"=", 1) for entry in block if entry),
            setpgroup=0,
            setsigmask=(),
            # What Python, this shim or the worker ignores must not be ignored in the program.
            setsigdef=settable,
        )
        self.exit_code: int | None = None
        self.killed: dict[int, None] = {}

    def reap(self) -> bool:
        """Collect what has ended; return whether anything of the tree is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.program:
                self.exit_code = os.waitstatus_to_exitcode(status)

    def ask_to_end(self) -> None:
        """Send SIGTERM to the program's process group."""
        with contextlib.suppress(OSError):
            os.killpg(self.program, signal.SIGTERM)

    def end(self) -> None:
        """Kill until nothing is left; what forks away from one round is met by the next."""
        pause_s = 0.0005
        while self.reap():
            for pid in _descendants(os.getpid()):
                self.killed[pid] = None
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - importing pathlib doubles the start-up time
        return file.read()


def _become_subreaper() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _descendants(pid: int) -> list[int]:
    # All, not only children, who would follow by themselves: a long chain ends in one round.
    found: list[int] = []
    waiting = [pid]
    while waiting:
        # Threads have children too; a process that ends meanwhile leaves its children to us.
        with contextlib.suppress(OSError):
            parent = waiting.pop()
            for task in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - as in `_read`
                children = _read(f"/proc/{parent}/task/{task}/children").split()
                waiting += map(int, children)
                found += map(int, children)
    return found


def _await_end(tree: Tree, control: int, deadline_s: float) -> None:
    """Return when the program has ended, or the worker wants it dead, or is dead itself."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    os.set_blocking(control, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    heard_at = time.monotonic()
    while tree.reap() and tree.exit_code is None:
        left_s = heard_at + deadline_s - time.monotonic()
        ready = poller.poll(max(left_s, 0) * 1000)
        # Nothing said in time: but if this process was itself stopped, the word is in the pipe.
        if not ready and left_s <= 0:
            return
        for fd, _ in ready:
            said = os.read(fd, 4096)
            if fd != control:
                if signal.SIGUSR1 in said:
                    return
                continue
            if not said or b"k" in said:
                return
            heard_at = time.monotonic()
            if b"t" in said:
                tree.ask_to_end()


def main() -> None:
    """Run the program, and leave only when its whole tree is gone."""
    control, status, deadline_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _become_subreaper()
        # Without this file (CONFIG_PROC_CHILDREN) descendants could not be found: refuse to start.
        _read(f"/proc/self/task/{os.getpid()}/children")
        tree = Tree(sys.argv[5:])
    except OSError as error:
        os.write(status, f"refused {error.errno}\n".encode())
        return
    try:
        with contextlib.suppress(BrokenPipeError):
            os.write(status, f"started {tree.program}\n".encode())
        _await_end(tree, control, deadline_s)
    finally:
        tree.end()
    ended_at_s = time.monotonic()
    killed = " ".join(map(str, list(tree.killed)[:_SHOWN_PIDS]))
    with contextlib.suppress(BrokenPipeError):
        os.write(status, f"killed {killed}\nended {tree.exit_code} {ended_at_s}\n".encode())


if __name__ == "__main__":
    main()
    # Python's own tidying up takes longer than a kill.
    os._exit(0)
