"""Runs operations on an event loop, for HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from orchestrator.errors import OrchestratorError
from orchestrator.store.batches import Batches, Command
from orchestrator.store.client import CONNECT_TIMEOUT_S, SOCKET_TIMEOUT_S, translated_errors
from orchestrator.store.connection import ConnectionLost, ReplyError
from orchestrator.store.operations import Flow, Operation
from orchestrator.store.redis_library import ExponentialBackoff, redis
from orchestrator.store.shared_reads import SharedReads

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
        self._shared = SharedReads()
        self._batches = Batches(self._send_all)

    async def run(self, operation: Operation[T]) -> T:
        """Run one operation; raises as `Store.run` does.

        Equal operations whose reply may be shared are sent once for all who ask meanwhile. Those
        that may be batched are sent in one round trip with others.
        """
        if operation.is_shared:
            return await self._shared.run(operation.arguments, partial(self._send, operation))
        if operation.is_batched:
            with translated_errors(operation, self._address), _library_errors():
                reply = await self._batches.run(operation.command())
                if isinstance(reply, redis.exceptions.NoScriptError):
                    return await self._send(operation)
                if isinstance(reply, redis.RedisError):
                    raise reply
            return operation.decode(reply)
        return await self._send(operation)

    async def _send(self, operation: Operation[T]) -> T:
        with translated_errors(operation, self._address), _library_errors():
            try:
                reply = await self._client.execute_command(*operation.command())
            except redis.exceptions.NoScriptError:
                reply = await self._client.execute_command(*operation.command(by_text=True))
        return operation.decode(reply)

    async def _send_all(self, commands: Sequence[Command]) -> Sequence[Any]:
        if len(commands) == 1:
            try:
                return [await self._client.execute_command(*commands[0])]
            except redis.ResponseError as error:
                return [error]
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        return replies

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
