"""The two ways to run an operation: blocking for workers and the CLI, awaiting for HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from orchestrator.errors import (
    ArgumentRefused,
    OrchestratorError,
    RecordMalformed,
    StoreRefused,
    StoreUnreachable,
)
from orchestrator.store.batches import Batches, Command
from orchestrator.store.operations import Flow, Operation
from orchestrator.store.patience import current_patience, current_wait_for_space
from orchestrator.store.redis_library import ExponentialBackoff, NoBackoff, Retry, redis
from orchestrator.store.shared_reads import SharedReads

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
#: What Valkey refuses for a while only: it lacks memory or disk, is a replica that is not promoted
#: yet, or has lost its replicas or its primary.
_PASSING_CODES = frozenset({"MISCONF", "NOREPLICAS", "BUSY"})
_PASSING: tuple[type[Exception], ...] = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)
#: Socket timeouts of tries whose time is limited; each has connections of its own.
_LIMITS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, SOCKET_TIMEOUT_S)


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


def passes(refusal: StoreRefused) -> bool:
    """Return whether Valkey can do later what it refused now."""
    cause = refusal.__cause__
    return isinstance(cause, _PASSING) or str(cause).partition(" ")[0] in _PASSING_CODES


def _address(url: str) -> str:
    return url.rpartition("@")[2].rpartition("://")[2]


class Store:
    """Runs operations and waits for the reply."""

    def __init__(self, url: str) -> None:
        self._address = _address(url)
        # A command may be sent again after a lost reply: every script refuses a second move.
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3)
        self._client: Any = redis.Redis.from_url(url, retry=retry, **_OPTIONS)
        self._url = url
        self._limited: dict[float, Any] = {}
        self._lock = threading.Lock()

    def run(self, operation: Operation[T]) -> T:
        """Run one operation; one that gets no answer is tried again as the thread's patience says.

        So is a write that Valkey refuses until it has space again.

        Raises:
            StoreUnreachable: Valkey did not answer.
            StoreRefused: Valkey will not do it, such as one that is out of memory.
            ArgumentRefused: a script was given a value that cannot be stored; it wrote nothing.
            RecordMalformed: a key holds what this version does not write.
        """
        patience = current_patience()
        if patience is None:
            return self._run_on(self._client, operation)
        while True:
            left_s = patience.left_s(operation.blocks_s)
            client = self._client if left_s is None else self._client_within(left_s)
            try:
                answer = self._run_on(client, operation)
            except StoreUnreachable as error:
                patience.pause(error)
                continue
            except StoreRefused as refusal:
                patience.record_answer()
                wait = current_wait_for_space()
                if wait is None or not passes(refusal):
                    raise
                wait(refusal)
                continue
            except OrchestratorError:
                patience.record_answer()
                raise
            patience.record_answer()
            return answer

    def run_within(self, operation: Operation[T], within_s: float) -> T:
        """Run one operation without a second try: no read or write of it waits longer than this.

        Raises as `run` does.
        """
        return self._run_on(self._client_within(within_s), operation)

    def _run_on(self, client: Any, operation: Operation[T]) -> T:
        with _translated_errors(operation, self._address):
            try:
                reply = client.execute_command(*operation.command())
            except redis.exceptions.NoScriptError:
                reply = client.execute_command(*operation.command(by_text=True))
        return operation.decode(reply)

    def _client_within(self, within_s: float) -> Any:
        """Return a client whose sockets wait no longer than this, or than the least limit."""
        limit_s = max((one for one in _LIMITS_S if one <= within_s), default=_LIMITS_S[0])
        with self._lock:
            if (client := self._limited.get(limit_s)) is None:
                # Once more where Valkey closed an idle connection; a timeout is the end.
                retry = Retry(NoBackoff(), retries=1, supported_errors=(redis.ConnectionError,))
                options = {**_OPTIONS, "socket_timeout": limit_s, "socket_connect_timeout": limit_s}
                client = redis.Redis.from_url(self._url, retry=retry, **options)
                self._limited[limit_s] = client
        return client

    def follow(self, flow: Flow[T], *, check: Callable[[], None] = lambda: None) -> T:
        """Run the operations of a flow, one after the other.

        `check` is called before each of them; what it raises ends the flow there.
        """
        step: Callable[[], Operation[Any]] = partial(flow.send, None)
        while True:
            try:
                operation = step()
            except StopIteration as end:
                result: T = end.value
                return result
            check()
            try:
                step = partial(flow.send, self.run(operation))
            except OrchestratorError as error:
                # Where the flow asked, so that it can do without.
                step = partial(flow.throw, error)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for client in (self._client, *self._limited.values()):
                client.close()


class AsyncStore:
    """Runs operations on an event loop."""

    def __init__(self, url: str) -> None:
        self._address = _address(url)
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
            with _translated_errors(operation, self._address):
                reply = await self._batches.run(operation.command())
                if isinstance(reply, redis.exceptions.NoScriptError):
                    return await self._send(operation)
                if isinstance(reply, redis.RedisError):
                    raise reply
            return operation.decode(reply)
        return await self._send(operation)

    async def _send(self, operation: Operation[T]) -> T:
        with _translated_errors(operation, self._address):
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
