"""The connection to the models' providers: it inserts the real key and meters responses."""

from __future__ import annotations

import asyncio
import hmac
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus

import h11
import httpx

from orchestrator.egress.admission import Admissions, RequestLimits, Ticket
from orchestrator.egress.connection import (
    BODY_LIMIT_BYTES,
    Headers,
    ProxyConnection,
    end_to_end,
    over_limit,
)
from orchestrator.egress.usage_observer import (
    DocumentReader,
    ResponseReader,
    StreamReader,
    UsageObserver,
)
from orchestrator.interfaces.provider import Provider, Refused, UsageReader
from orchestrator.log import get_logger

#: Headers by which any provider may recognise an account; of another account none may leave.
_CREDENTIALS = frozenset({b"x-api-key", b"authorization", b"x-goog-api-key", b"api-key"})
#: Headers that belong to a connection, or that make another request out of the one that is checked.
_DROPPED = frozenset(
    {
        *_CREDENTIALS,
        *(b"host", b"accept-encoding", b"expect", b"content-length", b"cookie"),
        *(b"x-http-method-override", b"x-http-method", b"x-method-override"),
    }
)
_FRAMING = (b"content-length", b"transfer-encoding")
#: A response without streaming may take that long.
_TIMEOUT = httpx.Timeout(600.0, connect=30.0, pool=None)

log = get_logger("egress")


@dataclass(frozen=True)
class AdmittedRequest:
    """A request with the real key, and how its response is read."""

    request: httpx.Request
    usage: UsageReader | None
    #: None if the request needs no tokens, or no budget limits the attempt.
    ticket: Ticket | None = None


class ModelApi:
    """Forwards the requests of one attempt, whose only key is `placeholder`."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        placeholder: str,
        observer: UsageObserver,
        tls: ssl.SSLContext,
        *,
        may_fetch: bool = False,
        limits: RequestLimits | None = None,
    ) -> None:
        # The longest prefix first: one provider is served at the root.
        self._providers = sorted(
            providers.items(), key=lambda named: len(named[1].prefix), reverse=True
        )
        self._placeholder = placeholder.encode()
        self._observer = observer
        self._may_fetch = may_fetch
        self._admissions = Admissions(limits) if limits else None
        #: Reports what the agent's log should tell.
        self.on_notice: Callable[[str], None] = lambda _line: None
        self._reading = asyncio.Lock()
        connections = httpx.Limits(max_connections=None, max_keepalive_connections=8)
        # The proxy settings in this process's environment do not apply to agents.
        self._client = httpx.AsyncClient(
            verify=tls, timeout=_TIMEOUT, limits=connections, trust_env=False, headers={}
        )

    async def admit(self, client: ProxyConnection, request: h11.Request) -> AdmittedRequest:
        """Read a request to its end, and return it with the real key.

        Raises:
            Refused: the path is not part of an API, the key is not the placeholder, the body is
                over the limit (413), or the address (414), it asks for a fetch that this attempt
                may not use, or the budget leaves nothing for it.
        """
        name, provider, path = self._provider_of(request)
        client.as_error = provider.as_error
        headers = self._headers_for(provider, request, path)
        # Before the admission: what is admitted is forwarded, or it would stay open.
        url = _address_of(provider, path)
        usage, ticket = provider.usage_reader(path), None
        # One body at a time is in memory, because an agent may open many connections.
        async with self._reading:
            body = bytearray()
            async for part in client.body():
                body += part
            content = bytes(body)
            if request.method == b"POST":
                # The check runs outside the loop, which also serves and cuts other attempts.
                content = await asyncio.to_thread(
                    provider.checked, path, content, may_fetch=self._may_fetch
                )
                if self._admissions is not None and usage is not None:
                    content, ticket = await self._admissions.admit(
                        name, provider, path, content, lambda: client.is_gone
                    )
        has_body = any(name in _FRAMING for name, _ in request.headers)
        if has_body:
            headers.append((b"content-length", b"%d" % len(content)))
        admitted = self._client.build_request(
            request.method.decode(),
            url,
            headers=headers,
            content=_spent([content]) if has_body else None,
        )
        return AdmittedRequest(admitted, usage, ticket)

    async def forward(self, client: ProxyConnection, admitted: AdmittedRequest) -> None:
        """Forward a request, and stream its response back.

        Raises:
            Refused: the provider does not respond (502).
        """
        prompt_tokens = 0
        try:
            answer = await self._client.send(admitted.request, stream=True)
            async with aclosing(answer):
                prompt_tokens = await self._return(client, answer, admitted)
        except httpx.HTTPError as error:
            log.warning("model not reached", error=type(error).__name__)
            msg = f"the model's provider does not answer ({type(error).__name__})"
            raise Refused(msg, status=HTTPStatus.BAD_GATEWAY) from error
        finally:
            # All of its usage has been observed.
            if admitted.ticket is not None:
                admitted.ticket.finish(prompt_tokens)

    async def close(self) -> None:
        """Close the open connections to the provider."""
        await self._client.aclose()

    async def _return(
        self, client: ProxyConnection, answer: httpx.Response, admitted: AdmittedRequest
    ) -> int:
        """Stream a response back, and return the count of its prompt."""
        model = admitted.ticket.model if admitted.ticket else ""
        reader = None if admitted.usage is None else self._reader(answer, admitted.usage, model)
        # A response that is encoded despite the request is decoded, so its length changes.
        is_encoded = "content-encoding" in answer.headers
        dropped = {b"content-encoding", b"content-length"} if is_encoded else frozenset()
        raw = [(name.lower(), value) for name, value in answer.headers.raw]
        is_heard = await _is_in_use(
            client.begin(answer.status_code, end_to_end(raw, without=frozenset(dropped)))
        )
        try:
            # Disconnecting early does not save tokens: the proxy reads the response to the end,
            # because usage arrives last.
            async for data in answer.aiter_bytes():
                if reader is not None:
                    reader.feed(data)
                is_heard = is_heard and await _is_in_use(client.put(data))
        finally:
            if reader is not None:
                self._finish(reader, answer)
        if is_heard:
            await _is_in_use(client.end())
        return reader.prompt_tokens if reader is not None else 0

    def _reader(self, answer: httpx.Response, usage: UsageReader, model: str) -> ResponseReader:
        kind = answer.headers.get("content-type", "")
        make = StreamReader if kind.startswith("text/event-stream") else DocumentReader
        return make(self._observer, usage, model)

    def _finish(self, reader: ResponseReader, answer: httpx.Response) -> None:
        reader.finish()
        if answer.is_success and not reader.is_counted:
            log.warning("response without usage", host=answer.url.host)
            self.on_notice("a response of the model has no usage: its tokens are not counted")

    def _provider_of(self, request: h11.Request) -> tuple[str, Provider, bytes]:
        for name, provider in self._providers:
            prefix = provider.prefix.encode()
            if request.target.startswith(prefix + b"/"):
                return name, provider, request.target.removeprefix(prefix)
        shown = request.target.partition(b"?")[0].decode("ascii", "replace")
        msg = f"{shown} is of no provider whose key is set"
        raise Refused(msg)

    def _headers_for(self, provider: Provider, request: h11.Request, path: bytes) -> Headers:
        if not provider.allows(request.method + b" " + path):
            line = request.method + b" " + request.target
            shown = line.partition(b"?")[0].decode("ascii", "replace")
            msg = f"{shown} is none of the model's messages"
            raise Refused(msg)
        headers = list(request.headers)
        given = [(name, value) for name, value in headers if name in _CREDENTIALS]
        accepted = [name for name, _ in given if name in provider.key_headers]
        if not accepted or not all(
            self._is_placeholder(value, provider.key_headers.get(name)) for name, value in given
        ):
            msg = "the key is not the one of this attempt"
            raise Refused(msg)
        size = dict(headers).get(b"content-length", b"0")
        if int(size) > BODY_LIMIT_BYTES:
            raise over_limit()
        key = provider.endpoint.key
        secret = key.get_secret_value().encode() if key else None
        # The request asks for no encoding, because the meter reads the response.
        return [
            *end_to_end(headers, without=_DROPPED),
            *((name, provider.key_headers[name] + secret) for name in accepted if secret),
            (b"accept-encoding", b"identity"),
        ]

    def _is_placeholder(self, value: bytes, prefix: bytes | None) -> bool:
        # A header that is not this provider's is dropped; some clients send the key in two.
        expected = self._placeholder if prefix is None else prefix + self._placeholder
        return hmac.compare_digest(value, expected)


def _address_of(provider: Provider, path: bytes) -> httpx.URL:
    try:
        return httpx.URL(provider.endpoint.url.rstrip("/") + path.decode("ascii"))
    except httpx.InvalidURL as error:
        msg = f"the address cannot be forwarded ({error})"
        raise Refused(msg, status=HTTPStatus.REQUEST_URI_TOO_LONG) from error


async def _spent(parts: list[bytes]) -> AsyncIterator[bytes]:
    """Return the sent part, and hold none of it while the response arrives."""
    while parts:
        yield parts.pop()


async def _is_in_use(sending: Awaitable[None]) -> bool:
    """Return whether the client received the sent bytes; it may be gone or too slow."""
    try:
        await sending
    except OSError:
        return False
    return True
