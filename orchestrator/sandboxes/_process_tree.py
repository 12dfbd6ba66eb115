"""The worker's side of a program: its output, the orders to its shim, and the shim's reports."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from contextlib import suppress
from typing import IO

import psutil

from orchestrator.errors import BackendUnavailable, SandboxLost, fault_of_host
from orchestrator.interfaces.sandbox import Chunk

_CHUNK_BYTES = 64 * 1024
_STATUS = "status"


def check_was_heard(report: bytes) -> None:
    """Check that a shim did not end its tree for want of a heartbeat.

    Raises:
        SandboxLost: it did; the program is not to blame for its end.
    """
    if b"\nunheard\n" in report:
        msg = "The program was ended because its worker was stopped or stalled."
        action = (
            "Another attempt continues. If it happens again, this host is overloaded: lower"
            " ORCHESTRATOR_SPAWN_CONCURRENCY, or raise ORCHESTRATOR_SUPERVISOR_DEADLINE and"
            " ORCHESTRATOR_LEASE."
        )
        raise SandboxLost(msg, action=action)


class ProcessTree:
    """A running program and its descendants; used by one thread, except for its end."""

    def __init__(
        self,
        shim: subprocess.Popen[bytes],
        control: IO[bytes],
        status: IO[bytes],
        selector: selectors.BaseSelector,
    ) -> None:
        self._shim = shim
        self._control = control
        self._status = status
        self._selector = selector
        self._heard = b""
        self._is_gone = False
        self._exit_code: int | None = None
        for source, stream in (("stdout", shim.stdout), ("stderr", shim.stderr)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, source)
        selector.register(status, selectors.EVENT_READ, _STATUS)

    def await_start(self, program: str) -> None:
        """Wait until the shim reports that the program runs.

        Raises:
            BackendUnavailable: it does not exist or may not be run.
            DiskFull, HostExhausted: the shim cannot record or start it on this host now.
        """
        while b"\n" not in self._heard and not self._is_gone:
            self._hear()
        if not self._heard.startswith(b"started "):
            cause = int(self._heard.removeprefix(b"refused ") or -1)
            reason = os.strerror(cause) if cause > 0 else "its shim did not start"
            if cause == 0 and self._shim.stderr is not None:
                self._shim.wait()
                reason = f"it could not be confined ({self._shim.stderr.read().decode().strip()})"
            msg = f"{program}: {reason}."
            raise (fault_of_host(OSError(cause, reason)) or BackendUnavailable)(msg)

    def read(self, timeout_s: float) -> list[Chunk]:
        """Wait for output or the end, at most `timeout_s`; empty if there was neither.

        It reads at most one chunk of 64 KiB from each source. A natural end is noticed only by
        reading. `exit_code` stays None until all output has been returned.

        Raises:
            SandboxLost: the shim ended the tree, because it received no heartbeat in time.
        """
        chunks: list[Chunk] = []
        for key, _ in self._selector.select(0 if self._is_gone else timeout_s):
            if key.data == _STATUS:
                self._hear()
            elif data := self._claim(key):
                chunks.append(Chunk(key.data, data))
        if self._is_gone and not chunks:
            self._record_end()
            check_was_heard(self._heard)
        return chunks

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal) once the whole tree has ended, else None."""
        return self._exit_code

    @property
    def killed_pids(self) -> tuple[int, ...]:
        """The pids that had to be killed."""
        _, found, words = self._heard.partition(b"killed ")
        return tuple(map(int, words.partition(b"\n")[0].split())) if found else ()

    @property
    def ended_at_s(self) -> float | None:
        """The end of its last process, by `time.monotonic`; None if its shim ended before it."""
        words = self._heard.split()
        return float(words[-1]) if b"ended" in words else None

    @property
    def is_view_refused(self) -> bool:
        """Whether the program did not start because bubblewrap could not confine it."""
        return self._heard == b"refused 0\n"

    @property
    def has_ended_itself(self) -> bool:
        """Whether its shim has reported that all processes have ended."""
        return b"ended " in self._heard or self._heard.startswith(b"refused ")

    @property
    def limit_hit(self) -> None:
        """Always None: the limits at these levels fail the program's own calls."""
        return

    def cpu_s(self) -> float:
        """Return the processor time in seconds of its live processes and those they reaped."""
        spent_s = 0.0
        with suppress(psutil.Error):
            for process in psutil.Process(self._shim.pid).children(recursive=True):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    spent_s += times.user + times.system
                    spent_s += times.children_user + times.children_system
        return spent_s

    def heartbeat(self) -> None:
        """Send a heartbeat to the shim; from any thread."""
        self._order(b".")

    def order_kill(self) -> None:
        """Order the end of the whole tree, without waiting for it; from any thread."""
        # A program of the same user may have stopped its shim.
        self._shim.send_signal(signal.SIGCONT)
        self._order(b"k")

    def terminate(self) -> None:
        """Send SIGTERM to the program's process group."""
        self._order(b"t")

    def kill(self) -> None:
        """End the whole tree at once; returns when all its processes have ended.

        Output that it had written can still be read.
        """
        if self._exit_code is not None:
            # A tree that has ended is not killed again, because its pids may belong to other
            # processes.
            return
        self.order_kill()
        while not self._is_gone:
            self._hear()
        self._record_end()

    def _order(self, order: bytes) -> None:
        # ValueError: the program has ended, and the pipe is closed.
        with suppress(BrokenPipeError, ValueError):
            # None: the pipe is full of heartbeats, so the shim does not read. The closed pipe is
            # the same order.
            if self._control.write(order) is None and order == b"k":
                self._control.close()

    def _hear(self) -> None:
        words = os.read(self._status.fileno(), _CHUNK_BYTES)
        self._heard += words
        if not words:
            self._is_gone = True
            self._selector.unregister(self._status)

    def _record_end(self) -> None:
        exit_code = self._shim.wait()
        words = self._heard.split()
        if b"ended" in words:
            exit_code = int(words[-2])
        elif b"started" in words:
            # The program killed its shim. The rest of its process group can be killed. Daemons that
            # left the group have ORCH_AGENT_ID in their environment, unless they removed it.
            with suppress(ProcessLookupError):
                os.killpg(int(words[1]), signal.SIGKILL)
        self._exit_code = exit_code

    def _claim(self, key: selectors.SelectorKey) -> bytes:
        try:
            data = os.read(key.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            self._selector.unregister(key.fileobj)
        return data
