"""The egress proxy of one attempt: its socket, forwarded and refused requests, and its cut."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import h11

from orchestrator.egress.connection import ProxyConnection
from orchestrator.egress.model_api import ModelApi
from orchestrator.egress.tunnel import Tunnels
from orchestrator.egress.usage_observer import UsageObserver
from orchestrator.interfaces.agent import ModelAccess
from orchestrator.interfaces.provider import Refused
from orchestrator.log import get_logger
from orchestrator.models import EgressCounts

#: The limit exists because each connection takes two descriptors of the worker; package managers
#: open about 15.
MOST_CONNECTIONS = 32
#: The time after which a worker without a free descriptor tries again.
_PAUSE_S = 1.0
#: The number of different refusals that are reported; all of them are counted.
_MOST_REPORTED = 100
_SHOWN_CHARACTERS = 200

log = get_logger("egress")


class Proxy:
    """Serves one attempt; created, served and closed in the loop's thread, used in any thread."""

    def __init__(
        self,
        path: Path,
        listener: socket.socket,
        tunnels: Tunnels,
        model_api: ModelApi | None,
        *,
        meter: UsageObserver,
        model: ModelAccess | None,
    ) -> None:
        #: The unix socket it listens on.
        self.socket = path
        #: The usage that the responses of the model report.
        self.meter = meter
        #: The connection to the model; None if the agent may not use one.
        self.model = model
        self._listener = listener
        self._tunnels = tunnels
        self._model_api = model_api
        self._loop = asyncio.get_running_loop()
        self._clients: set[asyncio.Task[None]] = set()
        self._open_tunnels = 0
        self._is_cut = False
        self._allowed = self._refused = 0
        self._reported: set[str] = set()
        self._untold: list[str] = []
        if model_api is not None:
            model_api.on_notice = self._report
        self._listen()

    @property
    def counts(self) -> EgressCounts:
        """The number of forwarded requests, and of refused ones."""
        return EgressCounts(allowed=self._allowed, refused=self._refused)

    @property
    def is_busy(self) -> bool:
        """Whether clients or unfinished responses are active; tunnels do not count."""
        return len(self._clients) > self._open_tunnels

    def drain_refusals(self) -> list[str]:
        """Return a line for each new kind of refusal since the last call."""
        lines = []
        while self._untold:
            lines.append(self._untold.pop(0))
        return lines

    def cut(self) -> None:
        """Abort every connection, and accept no new one; from any thread, without waiting."""
        self._is_cut = True
        with suppress(RuntimeError):  # the loop has ended, and everything with it
            self._loop.call_soon_threadsafe(self._abort)

    async def close(self) -> None:
        """Cut, and return when all connections have ended."""
        self._is_cut = True
        self._abort()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._model_api is not None:
            await self._model_api.close()

    def _abort(self) -> None:
        if self._listener.fileno() != -1:
            self._loop.remove_reader(self._listener)
            # Clients that wait for an accept see the end too.
            self._listener.close()
        for task in self._clients:
            task.cancel()

    def _listen(self) -> None:
        if not self._is_cut:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        # asyncio's server is not used: if it closes while a client connects, that client hangs.
        try:
            connected, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("client not accepted", reason=str(error))
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_PAUSE_S, self._listen)
            return
        task = self._loop.create_task(self._serve(connected))
        self._clients.add(task)
        task.add_done_callback(self._record_end)
        # A task that is cut before its first step never closes it itself.
        task.add_done_callback(lambda _: connected.close())
        if len(self._clients) >= MOST_CONNECTIONS:
            # New clients wait until one of the connections ends.
            self._loop.remove_reader(self._listener)

    def _record_end(self, task: asyncio.Task[None]) -> None:
        self._clients.discard(task)
        self._listen()
        # A client that disconnects or stalls ends only its own connection.
        if not task.cancelled() and (error := task.exception()):
            is_ordinary = isinstance(error, OSError | h11.ProtocolError)
            level = log.debug if is_ordinary else log.error
            level("connection ended", reason=f"{type(error).__name__}: {error}")

    async def _serve(self, connected: socket.socket) -> None:
        with connected:
            connected.setblocking(False)
            client = ProxyConnection(*await asyncio.open_connection(sock=connected))
            try:
                while request := await client.request():
                    await self._route(client, request)
            except Refused as refusal:
                self._record(refusal)
                await client.refuse(refusal)
            except asyncio.CancelledError:
                # The bytes in its buffer are not sent any more.
                client.abort()
                raise
            finally:
                await client.close()

    async def _route(self, client: ProxyConnection, request: h11.Request) -> None:
        if request.method == b"CONNECT":
            target = request.target.decode("ascii", "replace").lower()
            outside = await self._tunnels.connect(target)
            self._allowed += 1
            self._open_tunnels += 1
            try:
                await self._tunnels.carry(client, outside)
            finally:
                self._open_tunnels -= 1
            return
        if self._model_api is None or not request.target.startswith(b"/"):
            shown = request.target.decode("ascii", "replace")
            msg = f"{shown} is not served: only tunnels (CONNECT) to the allowed hosts are"
            raise Refused(msg)
        admitted = await self._model_api.admit(client, request)
        self._allowed += 1
        await self._model_api.forward(client, admitted)

    def _record(self, refusal: Refused) -> None:
        # A forwarded request without a response (502) is no refusal, but it is reported too.
        if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._refused += 1
        self._report(refusal.reason)

    def _report(self, reason: str) -> None:
        line = f"egress: {reason}"[:_SHOWN_CHARACTERS]
        if line not in self._reported and len(self._reported) < _MOST_REPORTED:
            self._reported.add(line)
            self._untold.append(line)
