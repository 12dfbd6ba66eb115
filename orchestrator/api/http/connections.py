"""Bounds the connections to the API: their number, and the time of an idle or slow client.

Uvicorn limits the idle time after a response, but neither before the first request nor after the
first byte of the next one, nor the number of connections. Without these limits, idle connections
use up the file descriptors, and then kill requests fail.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.api.http.problems import problem

#: The time limit of a complete head, from the connection or the first byte after a response.
HEAD_WITHIN_S = 20.0
#: The time limit for a client to read sent data; a client of events can reconnect.
READ_WITHIN_S = 60.0
#: More are of no use to one process; each takes some 20 KiB.
MOST_CONNECTIONS = 4096
#: So many more are answered where all others are in use, if they kill or ask for health.
RESERVE = 16
#: Files, Valkey and git take descriptors too.
_SHARE_OF_DESCRIPTORS = 0.5
_STOPPING = frozenset({"kill", "kill-all", "halt"})


def most_connections() -> int:
    """Return how many connections this process holds at once, without the reserve."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, int(soft * _SHARE_OF_DESCRIPTORS) - RESERVE))


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
    """Uvicorn's HTTP/1.1 protocol, with a bounded number of connections and deadlines.

    Beyond the limit a new connection replaces the one that has been idle for longest. If every
    other connection serves a request, the new one is in the reserve, which only kills and health
    checks may use.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, and start the deadline of the first head."""
        super().connection_made(transport)
        _send_at_once(transport)
        self._idle_since_s = asyncio.get_running_loop().time()
        self.app = _remembering(self.app)
        self._admit(transport)
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
        if self._is_idle():
            self._asking.set(HEAD_WITHIN_S)
        else:
            self._asking.lift()
            self._idle_since_s = asyncio.get_running_loop().time()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _admit(self, transport: asyncio.Transport) -> None:
        open_ = [one for one in self.connections if not one.transport.is_closing()]
        if len(open_) <= most_connections():
            return
        idle = [
            one
            for one in open_
            if isinstance(one, Connection) and one is not self and one._is_idle()  # noqa: SLF001
        ]
        if idle:
            min(idle, key=lambda one: one._idle_since_s).transport.close()  # noqa: SLF001
        elif len(open_) <= most_connections() + RESERVE:
            self.app = _only_stopping(self.app)
        else:
            transport.abort()


def _remembering(app: ASGIApp) -> ASGIApp:
    """Give all requests of a connection one dictionary, `scope["connection"]`."""
    memory: dict[str, object] = {}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope["connection"] = memory
        await app(scope, receive, send)

    return answer


def _only_stopping(app: ASGIApp) -> ASGIApp:
    """Answer only what stops agents, and health checks."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        parts = str(scope["path"]).strip("/").split("/")
        if scope["type"] == "http" and not (parts[0] == "health" or parts[-1] in _STOPPING):
            detail = "Every connection is in use: only kills and health checks are answered."
            refusal = problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)
            refusal.headers["Connection"] = "close"
            refusal.headers["Retry-After"] = "1"
            await refusal(scope, receive, send)
            return
        await app(scope, receive, send)

    return answer


def _send_at_once(transport: asyncio.Transport) -> None:
    """Turn Nagle's algorithm off: a body would wait for the acknowledgement of its head (40 ms).

    asyncio does so only if the listener names its protocol. The listeners of Python's
    `socket.create_server`, systemd and uvicorn have protocol 0.
    """
    connected: socket.socket = transport.get_extra_info("socket")
    if connected.family in {socket.AF_INET, socket.AF_INET6}:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
