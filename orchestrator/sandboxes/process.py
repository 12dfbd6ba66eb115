"""Programs as plain processes of this host, each under a shim that ends its whole tree.

Nothing is confined here: a program may do what this user may. What this sandbox promises is the
end: when the program ends, when `kill` is called, and when the worker dies, nothing of it is left.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from orchestrator.custody import current, ended_by
from orchestrator.errors import BackendUnavailable, WorkspaceLost
from orchestrator.host import process_mark, system_mark
from orchestrator.ports import Chunk, ProcessSpec
from orchestrator.settings import Settings

_SHIM = Path(__file__).with_name("_shim.py")
_CHUNK_BYTES = 64 * 1024
_STATUS = "status"
_BEATS_IN_DEADLINE = 5


def build(settings: Settings) -> ProcessSandbox:
    """Build the sandbox."""
    return ProcessSandbox(settings.supervisor_deadline_s, system_mark(settings.home))


class ProcessSandbox:
    """Starts programs on this host.

    A thread tells every shim that this process is well; a shim that hears nothing for `deadline_s`
    ends its tree, so that a worker that is stopped or stuck keeps nothing alive.
    """

    def __init__(self, deadline_s: float, system: str) -> None:
        self._deadline_s = deadline_s
        self._system = system
        self._trees: set[ProcessTree] = set()
        self._lock = threading.Lock()
        self._pulse: threading.Thread | None = None

    @property
    def level(self) -> str:
        """What confines the programs: nothing but the shim above each."""
        return "shim"

    def check(self) -> str:
        """Return what confines programs here."""
        return "a shim above each program ends its whole tree; nothing else is confined"

    @contextmanager
    def start(self, spec: ProcessSpec) -> Iterator[ProcessTree]:
        """Start a program; leaving the context kills what is left of its tree.

        The program sees `spec.env`, ORCH_AGENT_ID and ORCH_SYSTEM (by which what slips away is
        found), nothing else of the environment, and leads a process group of its own in a session
        of its own. The custody this is called in can end the tree.

        Raises:
            BackendUnavailable: the program does not exist or may not be run.
            WorkspaceLost: `cwd` does not exist.
        """
        with ExitStack() as stack:
            env = {**spec.env, "ORCH_AGENT_ID": spec.agent_id, "ORCH_SYSTEM": self._system}
            tree = _start_shim(spec, env, self._deadline_s, stack)
            stack.callback(_note, tree)
            stack.callback(tree.kill)
            stack.enter_context(self._kept_alive(tree))
            tree.await_start(spec.argv[0])
            stack.enter_context(ended_by(tree.order_kill))
            yield tree

    @contextmanager
    def _kept_alive(self, tree: ProcessTree) -> Iterator[None]:
        with self._lock:
            self._trees.add(tree)
            if self._pulse is None:
                self._pulse = threading.Thread(target=self._beat, daemon=True, name="pulse")
                self._pulse.start()
        try:
            yield
        finally:
            with self._lock:
                self._trees.discard(tree)

    def _beat(self) -> None:
        while True:
            with self._lock:
                for tree in self._trees:
                    tree.beat()
            time.sleep(self._deadline_s / _BEATS_IN_DEADLINE)


def _note(tree: ProcessTree) -> None:
    if custody := current():
        custody.note(tree.killed_pids, ended_at_s=tree.ended_at_s, is_proven=tree.has_ended_itself)


def _start_shim(
    spec: ProcessSpec, env: Mapping[str, str], deadline_s: float, stack: ExitStack
) -> ProcessTree:
    # Python's descriptors are close-on-exec, and Popen hands only `pass_fds` on, so no program
    # started at the same time by another thread holds this one's control pipe open.
    selector = stack.enter_context(selectors.DefaultSelector())
    control_read, control = _pipe(stack)
    status, status_write = _pipe(stack)
    fds = (control_read.fileno(), status_write.fileno())
    with control_read, status_write, _input(spec.stdin) as stdin:
        try:
            shim = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(_SHIM)),
                    *(*map(str, fds), str(deadline_s), process_mark(os.getpid())),
                    *spec.argv,
                ],
                cwd=spec.cwd,
                env=env,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=fds,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            lost = error.filename == spec.cwd
            msg = f"{spec.cwd if lost else spec.argv[0]}: {error.strerror}."
            raise (WorkspaceLost if lost else BackendUnavailable)(msg) from error
    # Full of beats that a stopped shim does not read, it must not block who writes.
    os.set_blocking(control.fileno(), False)
    stack.enter_context(shim)
    # Closed before the shim is waited for: whatever fails from here on, it hears the end.
    stack.callback(control.close)
    return ProcessTree(shim, control, status, selector)


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return (
        stack.enter_context(open(read, "rb", buffering=0)),  # noqa: PTH123 - a descriptor
        stack.enter_context(open(write, "wb", buffering=0)),  # noqa: PTH123 - a descriptor
    )


@contextmanager
def _input(data: bytes) -> Iterator[IO[bytes]]:
    """Hold the input in memory as a file: a program that never reads it blocks nobody."""
    with open(os.memfd_create("stdin"), "w+b") as file:  # noqa: PTH123 - a descriptor
        file.write(data)
        file.seek(0)
        yield file


class ProcessTree:
    """A running program and everything it started; used by one thread but for its ending."""

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
        """Wait for the shim's word that the program runs.

        Raises:
            BackendUnavailable: it does not exist or may not be run.
        """
        while b"\n" not in self._heard and not self._is_gone:
            self._hear()
        if not self._heard.startswith(b"started "):
            cause = self._heard.removeprefix(b"refused ").strip()
            reason = os.strerror(int(cause)) if cause else "its shim did not start"
            msg = f"{program}: {reason}."
            raise BackendUnavailable(msg)

    def read(self, timeout_s: float) -> list[Chunk]:
        """Wait for output or the end, at most `timeout_s`; empty when there was neither.

        At most one chunk of 64 KiB from each source. Only reading learns of a natural end, and
        `exit_code` stays None until all output has been returned.
        """
        chunks: list[Chunk] = []
        for key, _ in self._selector.select(0 if self._is_gone else timeout_s):
            if key.data == _STATUS:
                self._hear()
            elif data := self._take(key):
                chunks.append(Chunk(key.data, data))
        if self._is_gone and not chunks:
            self._note_end()
        return chunks

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal) once the whole tree has ended, else None."""
        return self._exit_code

    @property
    def killed_pids(self) -> tuple[int, ...]:
        """What had to be killed of it."""
        _, found, words = self._heard.partition(b"killed ")
        return tuple(map(int, words.partition(b"\n")[0].split())) if found else ()

    @property
    def ended_at_s(self) -> float | None:
        """When the last of it died, by `time.monotonic`; None if its shim did not live to see."""
        words = self._heard.split()
        return float(words[-1]) if b"ended" in words else None

    @property
    def has_ended_itself(self) -> bool:
        """Whether its shim lived to see that nothing of it is left."""
        return b"ended " in self._heard or self._heard.startswith(b"refused ")

    @property
    def limit_hit(self) -> None:
        """Nothing here is limited."""
        return

    def cpu_s(self) -> float:
        """Return the processor time that its live processes have spent."""
        spent_s = 0.0
        with suppress(psutil.Error):
            for process in psutil.Process(self._shim.pid).children(recursive=True):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    spent_s += times.user + times.system
        return spent_s

    def beat(self) -> None:
        """Tell the shim that this process is well; from any thread."""
        self._order(b".")

    def order_kill(self) -> None:
        """Let the whole tree be ended now, without waiting for it; from any thread."""
        # A program of the same user may have stopped its shim.
        self._shim.send_signal(signal.SIGCONT)
        self._order(b"k")

    def terminate(self) -> None:
        """Send SIGTERM to the program's process group."""
        self._order(b"t")

    def kill(self) -> None:
        """End the whole tree at once; returns when nothing of it is left.

        What it had written can still be read.
        """
        if self._exit_code is not None:
            # What is over is not killed again: its pids may be another's by now.
            return
        self.order_kill()
        while not self._is_gone:
            self._hear()
        self._note_end()

    def _order(self, order: bytes) -> None:
        # ValueError: it is over, and the pipe closed.
        with suppress(BrokenPipeError, ValueError):
            # None: the pipe is full of beats, so the shim does not read. Its end says the same.
            if self._control.write(order) is None and order == b"k":
                self._control.close()

    def _hear(self) -> None:
        words = os.read(self._status.fileno(), _CHUNK_BYTES)
        self._heard += words
        if not words:
            self._is_gone = True
            self._selector.unregister(self._status)

    def _note_end(self) -> None:
        exit_code = self._shim.wait()
        words = self._heard.split()
        if b"ended" in words:
            exit_code = int(words[-2])
        elif b"started" in words:
            # Its program killed the shim. What is left of the group can be reached; daemons that
            # left it carry ORCH_AGENT_ID in their environment, if they kept that.
            with suppress(ProcessLookupError):
                os.killpg(int(words[1]), signal.SIGKILL)
        self._exit_code = exit_code

    def _take(self, key: selectors.SelectorKey) -> bytes:
        try:
            data = os.read(key.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            self._selector.unregister(key.fileobj)
        return data
