"""The connection to the model's provider: it inserts the real key and meters responses."""

from __future__ import annotations

import asyncio
import hmac
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus

import h11
import httpx
from pydantic import SecretStr

from orchestrator.egress.connection import (
    BODY_LIMIT_BYTES,
    Headers,
    ProxyConnection,
    Refused,
    end_to_end,
    over_limit,
)
from orchestrator.egress.providers._anthropic_fetches import refuse_fetches
from orchestrator.egress.usage_observer import DocumentReader, StreamReader, UsageObserver
from orchestrator.log import get_logger

DEFAULT_URL = "https://api.anthropic.com"
#: Only calls whose response the client waits for are allowed, so that a cut connection ends the
#: usage. Batches are refused, because their tokens would be spent later and unmetered; files are
#: refused too.
_ALLOWED = re.compile(
    rb"POST /v1/messages(?:/count_tokens)?(?:\?[^#]*)?"
    rb"|(?:GET|HEAD) /v1/models(?:/[A-Za-z0-9][A-Za-z0-9._@:-]*)?(?:\?[^#]*)?"
)
_KEY, _BEARER = b"x-api-key", b"authorization"
_REPLACED = frozenset({_KEY, _BEARER, b"host", b"accept-encoding", b"expect"})
_FRAMING = (b"content-length", b"transfer-encoding")
#: A response without streaming may take that long.
_TIMEOUT = httpx.Timeout(600.0, connect=30.0, pool=None)

log = get_logger("egress")


@dataclass(frozen=True)
class Provider:
    """The address of the model, and the key that no agent sees."""

    url: str
    key: SecretStr
    #: Whether the provider may fetch and run for agents what they cannot themselves.
    may_fetch: bool = False


class ModelApi:
    """Forwards the requests of one attempt, whose only key is `placeholder`."""

    def __init__(
        self, provider: Provider, placeholder: str, observer: UsageObserver, tls: ssl.SSLContext
    ) -> None:
        self._provider = provider
        self._placeholder = placeholder.encode()
        self._observer = observer
        self._reading = asyncio.Lock()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
        # The proxy settings in this process's environment do not apply to agents.
        self._client = httpx.AsyncClient(
            verify=tls, timeout=_TIMEOUT, limits=limits, trust_env=False, headers={}
        )

    async def admit(self, client: ProxyConnection, request: h11.Request) -> httpx.Request:
        """Read a request to its end, and return it with the real key.

        Raises:
            Refused: the path is not part of the API, the key is not the placeholder, the body is
                over the limit (413), or it asks for a fetch that this attempt may not use.
        """
        headers = self._headers_for(request)
        # One body at a time is in memory, because an agent may open many connections.
        async with self._reading:
            parts = deque([part async for part in client.body()])
            if request.method == b"POST" and not self._provider.may_fetch:
                # The check runs outside the loop, which also serves and cuts other attempts.
                await asyncio.to_thread(refuse_fetches, b"".join(parts))
        has_body = any(name in _FRAMING for name, _ in request.headers)
        return self._client.build_request(
            request.method.decode(),
            self._provider.url.rstrip("/") + request.target.decode("ascii"),
            headers=headers,
            content=_spent(parts) if has_body else None,
        )

    async def forward(self, client: ProxyConnection, admitted: httpx.Request) -> None:
        """Forward a request, and stream its response back.

        Raises:
            Refused: the provider does not respond (502).
        """
        try:
            answer = await self._client.send(admitted, stream=True)
            async with aclosing(answer):
                await self._return(client, answer)
        except httpx.HTTPError as error:
            log.warning("model not reached", error=type(error).__name__)
            msg = f"the model's provider does not answer ({type(error).__name__})"
            raise Refused(msg, status=HTTPStatus.BAD_GATEWAY) from error

    async def close(self) -> None:
        """Close the open connections to the provider."""
        await self._client.aclose()

    async def _return(self, client: ProxyConnection, answer: httpx.Response) -> None:
        kind = answer.headers.get("content-type", "")
        reader = (
            StreamReader(self._observer)
            if kind.startswith("text/event-stream")
            else DocumentReader(self._observer)
        )
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
                reader.feed(data)
                is_heard = is_heard and await _is_in_use(client.put(data))
        finally:
            reader.finish()
        if is_heard:
            await client.end()

    def _headers_for(self, request: h11.Request) -> Headers:
        line = request.method + b" " + request.target
        if not _ALLOWED.fullmatch(line):
            shown = line.partition(b"?")[0].decode("ascii", "replace")
            msg = f"{shown} is none of the model's messages"
            raise Refused(msg)
        headers = list(request.headers)
        shown_keys = [(name, value) for name, value in headers if name in (_KEY, _BEARER)]
        if not shown_keys or not all(self._is_placeholder(*shown) for shown in shown_keys):
            msg = "the key is not the one of this attempt"
            raise Refused(msg)
        size = dict(headers).get(b"content-length", b"0")
        if int(size) > BODY_LIMIT_BYTES:
            raise over_limit()
        key = self._provider.key.get_secret_value().encode()
        # The request asks for no encoding, because the meter reads the response.
        return [
            *end_to_end(headers, without=_REPLACED),
            *((name, key if name == _KEY else b"Bearer " + key) for name, _ in shown_keys),
            (b"accept-encoding", b"identity"),
        ]

    def _is_placeholder(self, name: bytes, value: bytes) -> bool:
        expected = self._placeholder if name == _KEY else b"Bearer " + self._placeholder
        return hmac.compare_digest(value, expected)


async def _spent(parts: deque[bytes]) -> AsyncIterator[bytes]:
    """Return the sent part, and hold none of it while the response arrives."""
    while parts:
        yield parts.popleft()


async def _is_in_use(sending: Awaitable[None]) -> bool:
    """Return whether the client received the sent bytes; it may be gone or too slow."""
    try:
        await sending
    except OSError:
        return False
    return True
