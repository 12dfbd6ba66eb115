"""A connection to the API that asks nothing, or reads nothing, and what ends it.

Uvicorn limits how long a connection stays open after an answer, but neither before the first
request nor once a byte of the next one has come; and without limits descriptors run out, and with
them the way to kill.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol

#: A whole head comes within this from the beginning, or from the first byte after an answer.
HEAD_WITHIN_S = 20.0
#: What was sent is taken within this; who follows events can come again.
READ_WITHIN_S = 60.0


class _Deadline:
    """When a connection ends, unless it is lifted before."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def set(self, within_s: float) -> None:
        """Begin to wait, or go on."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(within_s, self._end)

    def lift(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connection(H11Protocol):
    """Speaks HTTP/1.1 as uvicorn does, and cuts off who keeps it waiting."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        _send_at_once(transport)
        self._asking = _Deadline(transport.close)
        # Not closed, for that waits for the client; and whatever it has not taken is waited for.
        self._reading = _Deadline(transport.abort)
        transport.set_write_buffer_limits(0)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Wait no longer if the head is whole now, or begin to wait for the next."""
        super().data_received(data)
        self._await_head()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._reading.set(READ_WITHIN_S)

    def resume_writing(self) -> None:
        """Wait no longer: it has read."""
        super().resume_writing()
        self._reading.lift()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._asking.lift()
        self._reading.lift()

    def _await_head(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._asking.set(HEAD_WITHIN_S)
        else:
            self._asking.lift()


def _send_at_once(transport: asyncio.Transport) -> None:
    """Turn Nagle's algorithm off: a body would wait for the acknowledgement of its head (40 ms).

    asyncio does so itself only where the listener names its protocol, and Python's own
    `socket.create_server`, systemd and uvicorn hand over listeners of protocol 0.
    """
    connected: socket.socket = transport.get_extra_info("socket")
    if connected.family in {socket.AF_INET, socket.AF_INET6}:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
