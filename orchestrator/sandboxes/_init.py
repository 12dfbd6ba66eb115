"""The first process of a program's own PID namespace: starts it, reaps, reports its end.

Below `_shim.py`, bubblewrap runs this file on its own: `python -I -S _init.py PROGRAM [ARGUMENT…]`,
with the write end of a pipe as descriptor 3. This process writes `started`, or `refused <errno>`,
to the pipe; then `exited <code>`, negative for a signal. It forwards SIGTERM to the program's
process group. When it ends, the kernel ends all other processes of the namespace before the parent
is notified.
"""

from __future__ import annotations

# Not `signal` and `contextlib`: they double the time that Python takes to start.
import _signal as signal  # type: ignore[import-not-found]
import os
import resource
import sys

_REPORT = 3
#: In a user namespace of its own the kernel counts the processes in it; it never limits root.
_PROCESSES_AT_MOST = 4096


def main() -> None:
    """Run the program to its end."""
    os.set_inheritable(_REPORT, False)
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    processes = _PROCESSES_AT_MOST if most < 0 else min(most, _PROCESSES_AT_MOST)
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - importing pathlib is slow
        block = file.read().split(b"\0")
    try:
        program = os.posix_spawnp(
            sys.argv[1],
            sys.argv[1:],
            # bubblewrap adds PWD to the environment.
            dict(item.split(b"=", 1) for item in block if item and not item.startswith(b"PWD=")),
            setpgroup=0,
            # Python ignores these two signals.
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
    except OSError as error:
        os.write(_REPORT, f"refused {error.errno}\n".encode())
        return

    def forward_signal(*_: object) -> None:
        try:  # noqa: SIM105 - as above
            os.killpg(program, signal.SIGTERM)
        except OSError:
            pass

    signal.signal(signal.SIGTERM, forward_signal)
    os.write(_REPORT, b"started\n")
    ended = status = 0
    while ended != program:
        ended, status = os.waitpid(-1, 0)
    os.write(_REPORT, f"exited {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
    os._exit(0)
