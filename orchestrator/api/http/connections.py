"""Closes idle connections to the API: without a complete request, or without a reading client.

Uvicorn limits the idle time after a response, but neither before the first request nor after the
first byte of the next one. Without these limits, idle connections use up the file descriptors, and
then kill requests fail.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol

#: The time limit of a complete head, from the connection or the first byte after a response.
HEAD_WITHIN_S = 20.0
#: The time limit for a client to read sent data; a client of events can reconnect.
READ_WITHIN_S = 60.0


class _Deadline:
    """A timer that ends a connection unless it is cancelled."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def set(self, within_s: float) -> None:
        """Start the timer if it does not run."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(within_s, self._end)

    def lift(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connection(H11Protocol):
    """Uvicorn's HTTP/1.1 protocol, with deadlines for slow clients."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first head."""
        super().connection_made(transport)
        _send_at_once(transport)
        self._asking = _Deadline(transport.close)
        # `abort`, because `close` waits until the client has read everything that was sent.
        self._reading = _Deadline(transport.abort)
        transport.set_write_buffer_limits(0)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Cancel the deadline if the head is complete; start it for the next head."""
        super().data_received(data)
        self._await_head()

    def pause_writing(self) -> None:
        """Start the deadline for the client to read."""
        super().pause_writing()
        self._reading.set(READ_WITHIN_S)

    def resume_writing(self) -> None:
        """Cancel the deadline: the client has read."""
        super().resume_writing()
        self._reading.lift()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel both deadlines."""
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

    asyncio does so only if the listener names its protocol. The listeners of Python's
    `socket.create_server`, systemd and uvicorn have protocol 0.
    """
    connected: socket.socket = transport.get_extra_info("socket")
    if connected.family in {socket.AF_INET, socket.AF_INET6}:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
