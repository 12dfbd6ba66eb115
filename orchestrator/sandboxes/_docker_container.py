"""A program in its container, as seen by the worker that started it."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from socket import SocketIO

from orchestrator.errors import BackendUnavailable, SandboxLost, SandboxUnavailable
from orchestrator.interfaces.sandbox import Chunk
from orchestrator.sandboxes._docker_engine import Engine
from orchestrator.sandboxes._docker_folder import Shared
from orchestrator.sandboxes._process_tree import check_was_heard

_CHUNK_BYTES = 64 * 1024
_OUTPUT, _STATUS = "output", "status"
#: The engine frames the output: one byte for the stream, three zero bytes, a length, the bytes.
_HEADER_BYTES = 8
_SOURCES = {1: "stdout", 2: "stderr"}
#: The exit codes of a killed program, the second as a shell reports it.
_KILLED_CODES = (-signal.SIGKILL, 128 + signal.SIGKILL)
_START_WITHIN_S = 60.0
#: Its own supervisor takes milliseconds; after this time the engine is asked.
_END_WITHIN_S = 2.0
#: The time limit for the engine to kill a container and to report it.
_KILL_WITHIN_S = 20.0


class ContainerProcess:
    """A running program and its descendants; used by one thread, except for its end."""

    def __init__(
        self, engine: Engine, container_id: str, shared: Shared, stream: SocketIO, memory: str
    ) -> None:
        self._engine = engine
        self._id = container_id
        self._shared = shared
        self._stream = stream
        self._memory = memory
        self._selector = selectors.DefaultSelector()
        os.set_blocking(stream.fileno(), False)
        self._selector.register(stream, selectors.EVENT_READ, _OUTPUT)
        self._selector.register(shared.status, selectors.EVENT_READ, _STATUS)
        self._heard = b""
        self._framed = bytearray()
        self._pending: list[Chunk] = []
        self._is_open = self._is_status_over = self._is_output_over = False
        self._is_killed = False
        self._exit_code: int | None = None
        self._cpu_s = self._start_by_s = 0.0
        #: The limit that ended the program, with its value; None if none did.
        self.limit_hit: str | None = None
        #: Whether its supervisor, or the engine, has reported that all its processes have ended.
        self.has_ended_itself = False
        #: The end of its last process, by `time.monotonic`; None if unknown.
        self.ended_at_s: float | None = None

    def await_start(self, program: str) -> None:
        """Let the container's first process start the program, and wait until it runs.

        Raises:
            BackendUnavailable: it does not exist or may not be run.
            SandboxLost: the connection to the engine ended.
        """
        self._start_by_s = time.monotonic() + _START_WITHIN_S
        self._await_word(b"open\n")
        self._is_open = True
        self._shared.close_to_others()
        self._shared.control.write(b"go\n")
        if self._is_killed:
            # Before this point the byte would have been part of that line.
            self._order(b"k")
        self._heard = b""
        self._await_word(b"\n")
        if not self._heard.startswith(b"started "):
            cause = self._heard.removeprefix(b"refused ").strip()
            msg = f"{program}: {os.strerror(int(cause))}."
            raise BackendUnavailable(msg)

    def _await_word(self, word: bytes) -> None:
        while word not in self._heard:
            if self._is_output_over:
                said = b" ".join(chunk.data for chunk in self._pending).decode(errors="replace")
                msg = f"The container ended as it started. {said.strip()}"
                action = "Its image needs /bin/sh, env and python3: `make sandbox-image` makes one."
                raise BackendUnavailable(msg, action=action)
            if time.monotonic() > self._start_by_s:
                msg = "The container does not start."
                raise SandboxLost(msg)
            self._pump(_END_WITHIN_S)

    def read(self, timeout_s: float) -> list[Chunk]:
        """Wait for output or the end, at most `timeout_s`; empty if there was neither.

        A natural end is noticed only by reading. `exit_code` stays None until all output has been
        returned.

        Raises:
            SandboxLost: the engine or the program's container is gone, or the supervisor inside
                received no heartbeat in time.
        """
        if not self._pending and not self._is_over:
            self._pump(timeout_s)
        chunks, self._pending = self._pending, []
        if not chunks and self._is_over and self._exit_code is None:
            self._record_end()
            check_was_heard(self._heard)
        return chunks

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal) once the whole tree has ended, else None."""
        return self._exit_code

    def cpu_s(self) -> float:
        """Return the processor time of its processes in seconds."""
        with suppress(SandboxUnavailable, BackendUnavailable):
            self._cpu_s = self._engine.cpu_s(self._id)
        return self._cpu_s

    def heartbeat(self) -> None:
        """Send a heartbeat to the supervisor inside; from any thread."""
        self._order(b".")

    def terminate(self) -> None:
        """Send SIGTERM to the program's process group."""
        self._order(b"t")

    def order_kill(self) -> None:
        """Order the end of the whole tree, without waiting for it; from any thread.

        The order is sent by a pipe to the supervisor inside, so it also works without an engine.
        """
        self._is_killed = True
        self._order(b"k")

    def kill(self) -> None:
        """End the whole tree at once; returns when all its processes have ended.

        Output that it had written can still be read.

        Raises:
            SandboxLost: the engine is gone, so the end cannot be confirmed.
        """
        if self._exit_code is not None:
            return
        self.order_kill()
        has_ended = self._pump_until(time.monotonic() + _END_WITHIN_S)
        # The supervisor's report is proof, so an engine that hangs is not awaited.
        if not has_ended and not self._is_reported:
            with suppress(SandboxUnavailable):
                self._engine.kill(self._id)
            if not self._pump_until(time.monotonic() + _KILL_WITHIN_S) and not self._is_reported:
                msg = "The engine does not end the container."
                raise SandboxLost(msg)
        self._record_end()

    def close(self) -> None:
        """Close the worker's ends of the pipes."""
        self._selector.close()
        self._stream._response.close()  # type: ignore[attr-defined]  # noqa: SLF001 - the library keeps it there
        self._stream.close()

    @property
    def _is_over(self) -> bool:
        # If a container never opened its pipe, the end of its output is its end.
        return self._is_output_over and (self._is_status_over or not self._is_open)

    @property
    def _is_reported(self) -> bool:
        """Whether the supervisor inside has reported that all processes have ended."""
        return b"\nended " in self._heard

    def _pump_until(self, deadline_s: float) -> bool:
        while not self._is_over and time.monotonic() < deadline_s:
            self._pump(deadline_s - time.monotonic())
        return self._is_over

    def _pump(self, timeout_s: float) -> None:
        """Read the available output.

        Raises:
            SandboxLost: the output ended, and the container did not.
        """
        for key, _ in self._selector.select(timeout_s):
            if key.data == _STATUS:
                self._hear()
            else:
                self._claim()
        if self._is_output_over and not self._is_over and not self._is_killed:
            # A container that ends closes its pipe first.
            self._hear()
            if not self._is_status_over:
                msg = "The engine stopped carrying the program's output."
                raise SandboxLost(msg)

    def _claim(self) -> None:
        try:
            data = os.read(self._stream.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._is_output_over = True
            self._selector.unregister(self._stream)
        self._framed += data
        self._pending += self._unframed()

    def _unframed(self) -> Iterator[Chunk]:
        while len(self._framed) >= _HEADER_BYTES:
            end = _HEADER_BYTES + int.from_bytes(self._framed[4:_HEADER_BYTES], "big")
            if len(self._framed) < end:
                return
            source = _SOURCES[self._framed[0]]
            yield Chunk(source, bytes(self._framed[_HEADER_BYTES:end]))
            del self._framed[:end]

    def _hear(self) -> None:
        if self._is_status_over:
            return
        try:
            words = os.read(self._shared.status.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return
        self._heard += words
        if not words:
            self._is_status_over = True
            self._selector.unregister(self._shared.status)

    def _order(self, order: bytes) -> None:
        # ValueError: the program has ended, and the pipe is closed. If the pipe is full, the
        # supervisor does not read it, and the engine kills.
        with suppress(ValueError):
            self._shared.control.write(order)

    def _record_end(self) -> None:
        """Record how the program ended.

        Raises:
            SandboxLost: neither the program nor this worker ended it.
        """
        words = self._heard.split()
        exit_code = -signal.SIGKILL
        if self._is_reported:
            exit_code = int(words[-2])
            self.has_ended_itself = True
            self.ended_at_s = float(words[-1])
        if not (self._is_reported and self._is_killed):
            self._ask_for_end(exit_code)
        self._exit_code = exit_code

    def _ask_for_end(self, exit_code: int) -> None:
        try:
            ended = self._engine.await_end(self._id)
        except SandboxUnavailable as error:
            raise SandboxLost(error.detail) from error
        if not self._is_reported:
            self.has_ended_itself = True
            self.ended_at_s = time.monotonic()
        if self._is_killed:
            return
        if ended.ran_out_of_memory and exit_code in _KILLED_CODES:
            self.limit_hit = self._memory
        elif not self._is_reported:
            msg = f"The container ended under its program (exit code {ended.exit_code})."
            raise SandboxLost(msg)
