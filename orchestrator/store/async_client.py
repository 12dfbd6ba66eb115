"""Runs operations on an event loop, for HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from orchestrator.errors import OrchestratorError
from orchestrator.store.client import CONNECT_TIMEOUT_S, SOCKET_TIMEOUT_S, translated_errors
from orchestrator.store.connection import ConnectionLost, ReplyError
from orchestrator.store.operations import Flow, Operation
from orchestrator.store.redis_library import ExponentialBackoff, redis

T = TypeVar("T")

_OPTIONS: dict[str, Any] = {
    "protocol": 2,  # the decoders read RESP2 replies
    "socket_timeout": SOCKET_TIMEOUT_S,
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_keepalive": True,
    "health_check_interval": 15,
    # At 100, the default, many requests at once would take a full pool for an outage.
    "max_connections": 10_000,
}


@contextmanager
def _library_errors() -> Iterator[None]:
    """Raise the errors of the library as those of `connection`."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise ConnectionLost(str(error)) from error
    except redis.exceptions.OutOfMemoryError as error:
        msg = f"OOM {error}"
        raise ReplyError(msg) from error
    except redis.ResponseError as error:
        raise ReplyError(str(error)) from error


class AsyncStore:
    """Runs operations on an event loop."""

    def __init__(self, url: str) -> None:
        self._address = url.rpartition("@")[2].rpartition("://")[2]
        retry = redis.asyncio.retry.Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3)
        self._client: Any = redis.asyncio.Redis.from_url(url, retry=retry, **_OPTIONS)

    async def run(self, operation: Operation[T]) -> T:
        """Run one operation; raises as `Store.run` does."""
        with translated_errors(operation, self._address), _library_errors():
            try:
                reply = await self._client.execute_command(*operation.command())
            except redis.exceptions.NoScriptError:
                reply = await self._client.execute_command(*operation.command(by_text=True))
        return operation.decode(reply)

    async def follow(self, flow: Flow[T]) -> T:
        """Run the operations of a flow, one after the other."""
        step: Callable[[], Operation[Any]] = partial(flow.send, None)
        while True:
            try:
                operation = step()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                step = partial(flow.send, await self.run(operation))
            except OrchestratorError as error:
                # Where the flow asked, so that it can do without.
                step = partial(flow.throw, error)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
