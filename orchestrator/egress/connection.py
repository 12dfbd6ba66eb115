"""The connection of one client: it reads requests within limits and writes responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus

import h11

from orchestrator.interfaces.provider import Refused

#: The time limit for the whole head of a request, from the end of the request before.
HEAD_TIMEOUT_S = 60.0
#: The time limit for the next piece of a body, and for the client to receive sent bytes.
IDLE_TIMEOUT_S = 120.0
#: The limit fits the prompt of a model with a long context and images; the provider has the same
#: limit.
BODY_LIMIT_BYTES = 32 * 2**20
_HEAD_LIMIT_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
#: The time and the bytes that are read from a refused client, so that it receives the response.
_LINGER_S, _LINGER_BYTES = 2.0, 2**20
#: The headers of one connection, which are not part of the request (RFC 9110, 7.6.1).
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer"
    b" transfer-encoding upgrade".split()
)

Headers = list[tuple[bytes, bytes]]


def as_plain_error(reason: str) -> Mapping[str, object]:
    """Return a refusal in the form that programs print, whatever they wanted to reach."""
    error = {"type": "permission_error", "message": f"Egress proxy: {reason}"}
    return {"type": "error", "error": error}


class ProxyConnection:
    """The server's side of HTTP/1.1 on a stream."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        as_error: Callable[[str], Mapping[str, object]] = as_plain_error,
    ) -> None:
        #: The form of a refusal's body.
        self.as_error = as_error
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT_BYTES)

    async def request(self) -> h11.Request | None:
        """Read the next request; None if the client disconnected or may send no more.

        Raises:
            Refused: the bytes are not HTTP.
            TimeoutError: the head is not complete in time.
        """
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            event = await self._event()
        return event if isinstance(event, h11.Request) else None

    async def body(self) -> AsyncIterator[bytes]:
        """Read the body of the current request as it arrives.

        Raises:
            Refused: it is over the limit.
            TimeoutError: the client stopped sending.
        """
        size = 0
        while True:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                event = await self._event()
            if not isinstance(event, h11.Data):
                return
            size += len(event.data)
            if size > BODY_LIMIT_BYTES:
                raise over_limit()
            yield bytes(event.data)

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head of a response."""
        await self._send(h11.Response(status_code=status, headers=headers))

    async def put(self, data: bytes) -> None:
        """Send a part of its body; returns when the client has received it."""
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """End the response."""
        await self._send(h11.EndOfMessage())

    async def close(self) -> None:
        """Close after the client has received all sent bytes, or after a timeout."""
        self.writer.close()
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                await self.writer.wait_closed()
        finally:
            self.abort()

    async def refuse(self, refusal: Refused) -> None:
        """Send a refusal, and end the connection."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        content = json.dumps(self.as_error(refusal.reason)).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            (b"connection", b"close"),
        ]
        await self.begin(refusal.status, headers)
        await self.put(content)
        await self.end()
        self.writer.write_eof()
        async with asyncio.timeout(_LINGER_S):
            left = _LINGER_BYTES
            while left > 0 and (data := await self.reader.read(_CHUNK_BYTES)):
                left -= len(data)

    def abort(self) -> None:
        """Close the connection at once and drop all unsent bytes."""
        self.writer.transport.abort()

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed its side, and everything that it sent was read."""
        return self.reader.at_eof()

    def trailing(self) -> bytes:
        """Return the bytes that the client already sent after its CONNECT."""
        return self._http.trailing_data[0]

    async def _event(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise Refused(str(error), status=error.error_status_hint) from error
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self.reader.read(_CHUNK_BYTES))

    async def _send(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            self.writer.write(data)
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                await self.writer.drain()


def over_limit() -> Refused:
    """Return the refusal of a body that is too large."""
    too_large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Refused(f"the body is over {BODY_LIMIT_BYTES} bytes", status=too_large)


def end_to_end(headers: Headers, *, without: frozenset[bytes]) -> Headers:
    """Return the headers to forward: without those of the connection and those that it names."""
    dropped = _HOP_BY_HOP | without
    for name, value in headers:
        if name == b"connection":
            dropped |= {option.strip().lower() for option in value.split(b",")}
    return [(name, value) for name, value in headers if name not in dropped]
