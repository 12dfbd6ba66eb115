"""The way to the model's provider: the real key is put in here, and answers are metered."""

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
#: What is answered while the caller waits, so that a cut connection ends the spending: no batches,
#: whose tokens would be spent later and be seen by nobody, and no files.
_ALLOWED = re.compile(
    rb"POST /v1/messages(?:/count_tokens)?(?:\?[^#]*)?"
    rb"|(?:GET|HEAD) /v1/models(?:/[A-Za-z0-9][A-Za-z0-9._@:-]*)?(?:\?[^#]*)?"
)
_KEY, _BEARER = b"x-api-key", b"authorization"
_REPLACED = frozenset({_KEY, _BEARER, b"host", b"accept-encoding", b"expect"})
_FRAMING = (b"content-length", b"transfer-encoding")
#: An answer that is not streamed may be that long in coming.
_TIMEOUT = httpx.Timeout(600.0, connect=30.0, pool=None)

log = get_logger("egress")


@dataclass(frozen=True)
class Provider:
    """Where the model is, and the key that is never shown to an agent."""

    url: str
    key: SecretStr
    #: Whether it may fetch and run for agents what they cannot themselves.
    may_fetch: bool = False


class ModelApi:
    """Forwards the requests of one attempt, which knows `placeholder` and no other key."""

    def __init__(
        self, provider: Provider, placeholder: str, observer: UsageObserver, tls: ssl.SSLContext
    ) -> None:
        self._provider = provider
        self._placeholder = placeholder.encode()
        self._observer = observer
        self._reading = asyncio.Lock()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
        # What stands in this process's environment about proxies is not meant for agents.
        self._client = httpx.AsyncClient(
            verify=tls, timeout=_TIMEOUT, limits=limits, trust_env=False, headers={}
        )

    async def admit(self, client: ProxyConnection, request: h11.Request) -> httpx.Request:
        """Read a request to its end, and return what is sent on: the same with the real key.

        Raises:
            Refused: the path is not the model's, the key shown is not the placeholder, the body is
                over the limit (413), or asks for what this attempt may not have fetched.
        """
        headers = self._headers_for(request)
        # In memory one after the other: an agent may open many connections, and leave.
        async with self._reading:
            parts = deque([part async for part in client.body()])
            if request.method == b"POST" and not self._provider.may_fetch:
                # Beside the loop: it serves other attempts too, and cuts them.
                await asyncio.to_thread(refuse_fetches, b"".join(parts))
        has_body = any(name in _FRAMING for name, _ in request.headers)
        return self._client.build_request(
            request.method.decode(),
            self._provider.url.rstrip("/") + request.target.decode("ascii"),
            headers=headers,
            content=_spent(parts) if has_body else None,
        )

    async def forward(self, client: ProxyConnection, admitted: httpx.Request) -> None:
        """Send a request on, and its answer back as it comes.

        Raises:
            Refused: the provider does not answer (502).
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
        """Close what connections are kept."""
        await self._client.aclose()

    async def _return(self, client: ProxyConnection, answer: httpx.Response) -> None:
        kind = answer.headers.get("content-type", "")
        reader = (
            StreamReader(self._observer)
            if kind.startswith("text/event-stream")
            else DocumentReader(self._observer)
        )
        # What comes encoded in spite of all is handed on decoded, so it has another length.
        is_encoded = "content-encoding" in answer.headers
        dropped = {b"content-encoding", b"content-length"} if is_encoded else frozenset()
        raw = [(name.lower(), value) for name, value in answer.headers.raw]
        is_heard = await _is_in_use(
            client.begin(answer.status_code, end_to_end(raw, without=frozenset(dropped)))
        )
        try:
            # Who hangs up has spent it none the less: its closing words say how much.
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
        # Asked for as it is: the meter reads along.
        return [
            *end_to_end(headers, without=_REPLACED),
            *((name, key if name == _KEY else b"Bearer " + key) for name, _ in shown_keys),
            (b"accept-encoding", b"identity"),
        ]

    def _is_placeholder(self, name: bytes, value: bytes) -> bool:
        expected = self._placeholder if name == _KEY else b"Bearer " + self._placeholder
        return hmac.compare_digest(value, expected)


async def _spent(parts: deque[bytes]) -> AsyncIterator[bytes]:
    """Hand out what is sent, and keep none of it while the answer comes."""
    while parts:
        yield parts.popleft()


async def _is_in_use(sending: Awaitable[None]) -> bool:
    """Return whether the client took what is sent; it may be gone, or take too long."""
    try:
        await sending
    except OSError:
        return False
    return True
