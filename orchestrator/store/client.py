"""The two ways to run an operation: blocking for workers and the CLI, awaiting for HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from orchestrator.errors import (
    ArgumentRefused,
    OrchestratorError,
    RecordMalformed,
    StoreRefused,
    StoreUnreachable,
)
from orchestrator.store.operations import Flow, Operation

T = TypeVar("T")

#: A blocking read asks the server to wait less than this.
SOCKET_TIMEOUT_S = 10.0
_OPTIONS: dict[str, Any] = {
    "protocol": 2,  # the decoders read RESP2 replies
    "socket_timeout": SOCKET_TIMEOUT_S,
    "socket_connect_timeout": 3.0,
    "socket_keepalive": True,
    "health_check_interval": 15,
    # Each thread of a pool worker holds one at times, and so does each lease: at 100, the default,
    # a worker of 200 agents would take a full pool for an outage.
    "max_connections": 10_000,
}
#: How the scripts begin what they refuse before their first write.
_REFUSED: dict[str, type[OrchestratorError]] = {
    "BADARG": ArgumentRefused,
    "BADRECORD": RecordMalformed,
}


@contextmanager
def _translated_errors(operation: Operation[Any], address: str) -> Iterator[None]:
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        msg = f"Valkey at {address} does not answer ({error})."
        raise StoreUnreachable(msg) from error
    except redis.ResponseError as error:
        kind, _, reason = str(error).partition(" ")
        # Valkey adds the line of the script.
        reason = reason.partition(" script: ")[0]
        if refused := _REFUSED.get(kind):
            msg = f"{reason}."
            raise refused(msg) from error
        if "WRONGTYPE" not in str(error):
            msg = f"Valkey at {address} refuses: {error}."
            raise StoreRefused(msg) from error
        keys = [part for part in operation.arguments if str(part).startswith("orchestrator:")]
        msg = f"{', '.join(map(str, keys))}: one of these keys holds another type of value."
        raise RecordMalformed(msg) from error


def _address(url: str) -> str:
    return url.rpartition("@")[2].rpartition("://")[2]


class Store:
    """Runs operations and waits for the reply."""

    def __init__(self, url: str) -> None:
        self._address = _address(url)
        # A command may be sent again after a lost reply: every script refuses a second move.
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3)
        self._client: Any = redis.Redis.from_url(url, retry=retry, **_OPTIONS)

    def run(self, operation: Operation[T]) -> T:
        """Run one operation.

        Raises:
            StoreUnreachable: Valkey did not answer.
            StoreRefused: Valkey will not do it, such as one that is out of memory.
            ArgumentRefused: a script was given a value that cannot be stored; it wrote nothing.
            RecordMalformed: a key holds what this version does not write.
        """
        with _translated_errors(operation, self._address):
            try:
                reply = self._client.execute_command(*operation.command())
            except redis.exceptions.NoScriptError:
                reply = self._client.execute_command(*operation.command(by_text=True))
        return operation.decode(reply)

    def follow(self, flow: Flow[T]) -> T:
        """Run the operations of a flow, one after the other."""
        step: Callable[[], Operation[Any]] = partial(flow.send, None)
        while True:
            try:
                operation = step()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                step = partial(flow.send, self.run(operation))
            except OrchestratorError as error:
                # Where the flow asked, so that it can do without.
                step = partial(flow.throw, error)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class AsyncStore:
    """Runs operations on an event loop."""

    def __init__(self, url: str) -> None:
        self._address = _address(url)
        retry = redis.asyncio.retry.Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3)
        self._client: Any = redis.asyncio.Redis.from_url(url, retry=retry, **_OPTIONS)

    async def run(self, operation: Operation[T]) -> T:
        """Run one operation; raises as `Store.run` does."""
        with _translated_errors(operation, self._address):
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
