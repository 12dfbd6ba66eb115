"""Runs operations and waits: for workers and the CLI; `async_client` does so for HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
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
from orchestrator.store.address import Address
from orchestrator.store.connection import (
    ConnectionLost,
    Connections,
    LoginRefused,
    ReplyError,
    Tries,
    text_of,
)
from orchestrator.store.operations import Flow, Operation
from orchestrator.store.patience import current_patience, current_wait_for_space
from orchestrator.store.replies import shaped

T = TypeVar("T")

#: A blocking read asks the server to wait less than this.
SOCKET_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 3.0
# A command may be sent again after a lost reply: every script refuses a second move.
_TRIES = Tries(again=3, is_after_timeouts=True)
# Once more where Valkey closed an idle connection; a timeout is the end.
_ONCE_MORE = Tries(again=1, is_after_timeouts=False, base_s=0.0)
#: How the scripts begin what they refuse before their first write.
_REFUSED: dict[str, type[OrchestratorError]] = {
    "BADARG": ArgumentRefused,
    "BADRECORD": RecordMalformed,
}
#: What Valkey refuses for a while only: it lacks memory or disk, is a replica that is not promoted
#: yet, or has lost its replicas or its primary.
_PASSING_CODES = frozenset(
    (
        *("MISCONF", "NOREPLICAS", "BUSY", "OOM", "READONLY", "MASTERDOWN"),
        *("CLUSTERDOWN", "TRYAGAIN"),
    )
)
_LOG_IN = "Correct the user or password: VALKEY_URL or VALKEY_PASSWORD, also of a running system."
#: Socket timeouts of tries whose time is limited; each has connections of its own.
_LIMITS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, SOCKET_TIMEOUT_S)


@contextmanager
def translated_errors(operation: Operation[Any], address: str) -> Iterator[None]:
    """Raise the errors of a connection as those of the store."""
    try:
        yield
    except ConnectionLost as error:
        msg = f"Valkey at {address} does not answer ({error})."
        if isinstance(error, LoginRefused):
            raise StoreUnreachable(msg, action=_LOG_IN) from error
        raise StoreUnreachable(msg) from error
    except ReplyError as error:
        if refused := _REFUSED.get(error.code):
            msg = f"{_reason(str(error).partition(' ')[2])}."
            raise refused(msg) from error
        if "WRONGTYPE" not in str(error):
            msg = f"Valkey at {address} refuses: {_reason(text_of(error))}."
            raise StoreRefused(msg) from error
        keys = [part for part in operation.arguments if str(part).startswith("orchestrator:")]
        msg = f"{', '.join(map(str, keys))}: one of these keys holds another type of value."
        raise RecordMalformed(msg) from error


def _reason(text: str) -> str:
    """Return what Valkey said, without the line of the script that it adds, and without a stop."""
    return text.partition(" script: ")[0].rstrip(".")


def passes(refusal: StoreRefused) -> bool:
    """Return whether Valkey can do later what it refused now."""
    cause = refusal.__cause__
    return isinstance(cause, ReplyError) and cause.code in _PASSING_CODES


class Store:
    """Runs operations and waits for the reply."""

    def __init__(self, url: str) -> None:
        self._address = Address.of(url)
        self._client = Connections(
            self._address,
            timeout_s=SOCKET_TIMEOUT_S,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            tries=_TRIES,
        )
        self._limited: dict[float, Connections] = {}
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

    def _run_on(self, client: Connections, operation: Operation[T]) -> T:
        arguments = operation.command()
        with translated_errors(operation, str(self._address)):
            try:
                reply = client.call(*arguments)
            except ReplyError as error:
                if error.code != "NOSCRIPT":
                    raise
                reply = client.call(*operation.command(by_text=True))
        return operation.decode(shaped(arguments[0], reply))

    def _client_within(self, within_s: float) -> Connections:
        """Return a client whose sockets wait no longer than this, or than the least limit."""
        limit_s = max((one for one in _LIMITS_S if one <= within_s), default=_LIMITS_S[0])
        with self._lock:
            if (client := self._limited.get(limit_s)) is None:
                client = Connections(
                    self._address,
                    timeout_s=limit_s,
                    connect_timeout_s=limit_s,
                    tries=_ONCE_MORE,
                )
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
