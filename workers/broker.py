"""Consumes Celery's queues; it stores, logs and answers a malformed message and continues."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.exceptions import KombuError
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from orchestrator.errors import OrchestratorError, RequestInvalid
from orchestrator.log import get_logger
from orchestrator.messages import SPAWN_TASK
from orchestrator.store.unreadable import set_aside
from orchestrator.wiring import clock
from workers.app import services_in

#: The longest reason (characters) in a log line or an error result.
_REASON_CHARACTERS = 200
#: The exceptions of a parser that expects another structure.
_UNEXPECTED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
#: kombu knows the client; only the store imports it. Also a Valkey without memory refuses so.
_REFUSED: type[Exception] = vars(redis)["exceptions"].ResponseError
#: Between two tries to fetch messages from a Valkey that refuses.
_PAUSE_S = 1.0
_SCHEMES = ("redis", "rediss")

log = get_logger("worker")


class QoS(redis.QoS):
    """kombu's record of unacknowledged messages, which a Valkey that refuses writes does not stop.

    The bookkeeping is left out: a refused write would lose a message that is already taken from
    its queue.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message, or go on without the record."""
        try:
            super().append(message, delivery_tag)
        except _REFUSED as error:
            log.warning("message not recorded as unacknowledged", reason=str(error))

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        """Restore the messages of dead workers, or do so at a later call."""
        try:
            super().restore_visible(*arguments, **options)
        except _REFUSED as error:
            log.warning("messages of dead workers not restored", reason=str(error))


class Channel(redis.Channel):
    """kombu's Channel, except that it sets aside a list entry that is not a message."""

    QoS = QoS

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's
        client = super()._create_client(asynchronous=asynchronous)  # type: ignore[misc]
        # Both commands return None for an empty queue, and every caller handles None.
        client.set_response_callback("BRPOP", self._popped_of_several)
        return client

    def _popped_of_several(self, reply: Any, **_options: Any) -> tuple[bytes, bytes] | None:
        if not reply:
            return None
        key, item = reply
        try:
            self._check(item)
        except _UNEXPECTED as error:
            queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
            put_aside(queue, item, f"{type(error).__name__}: {error}")
            return None
        return key, item

    def _check(self, item: bytes) -> None:
        """Parse an entry as kombu does.

        Raises:
            ValueError: it is not JSON or not a message; kombu and Celery may raise other errors.
        """
        message = self.Message(loads(bytes_to_str(item)), channel=self)
        tag, info = message.delivery_tag, message.delivery_info
        if not isinstance(tag, str) or not all(
            isinstance(info[name], str) for name in ("exchange", "routing_key")
        ):
            msg = "no delivery tag, exchange or routing key"
            raise ValueError(msg)


class Transport(redis.Transport):
    """kombu's Transport, with the Channel of this module."""

    Channel = Channel


class TolerantConsumer(Consumer):
    """Celery's Consumer, except that it sets aside a message from which it cannot make a task."""

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Log why there is no connection, and wait."""
        super().on_connection_error_before_connected(exc)
        _pause_after(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Log why the connection is given up, and wait."""
        super().on_connection_error_after_connected(exc)
        _pause_after(exc)

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        """Return the callback for each message."""
        handle = super().create_task_handler(*arguments, **options)

        def read_entry(message: Any) -> None:
            try:
                _check_arguments(message)
                handle(message)
            except (*_UNEXPECTED, KombuError) as error:
                # Before Celery reads it: its transport treats a KeyError as a lost connection, and
                # would deliver the message again and again.
                self._set_aside(message, f"{type(error).__name__}: {error}")

        return read_entry

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Answer the client of an invalid message with an error result."""
        super().on_invalid_task(body, message, exc)
        answer(self.hostname, message, str(exc))

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Treat a message that cannot be decoded as an invalid one."""
        super().on_decode_error(message, exc)
        answer(self.hostname, message, str(exc))

    def _set_aside(self, message: Any, reason: str) -> None:
        queue = str((message.delivery_info or {}).get("routing_key"))
        document = {"headers": message.headers, "body": bytes_to_str(message.body or "")}
        put_aside(queue, json.dumps(document, default=str).encode(), reason)
        for request in tuple(state.reserved_requests):
            if request.message is message:
                # Celery would count it as active, and it would occupy a slot.
                state.task_ready(request)
        message.reject_log_error(log, self.connection_errors)  # type: ignore[attr-defined]
        answer(self.hostname, message, reason)


def _pause_after(error: Exception) -> None:
    # A refusal comes at once, again and again; a lost connection has the waits of the transport.
    if isinstance(error, _REFUSED):
        time.sleep(_PAUSE_S)


def _check_arguments(message: Any) -> None:
    """Decode the arguments now: a pool process that failed on them could not answer.

    Raises:
        ValueError: there are no arguments, or they are for later; decoding may raise other errors.
    """
    if not isinstance(message.headers, dict) or "task" not in message.headers:
        return  # Celery's older protocol, or no arguments
    if message.headers.get("eta"):
        # Celery would hold it, and a slot, until then; the agent would have started before.
        msg = "its eta or countdown is not supported: send it when the agent is to start"
        raise ValueError(msg)
    match message.headers.get("timelimit"):
        case None | [int() | float() | None, int() | float() | None]:
            pass
        case _:
            msg = "its timelimit is no pair of numbers"
            raise ValueError(msg)
    match message.decode():
        case [list(), dict(), *_]:
            pass
        case _:
            msg = "its body is no list of positional arguments, named ones and options"
            raise ValueError(msg)


def put_aside(queue: str, item: bytes, reason: str) -> None:
    """Store an unreadable entry in Valkey for an operator, and log it."""
    log.error("message set aside", queue=queue, reason=reason[:_REASON_CHARACTERS], size=len(item))
    try:
        store = services_in(None).store
        store.follow(set_aside(queue, item, reason, now=clock()))
    except OrchestratorError as error:
        log.warning("not retained", queue=queue, reason=str(error))


def answer(worker: str, message: Any, reason: str) -> None:
    """Store an error result for an unreadable raw request, if it has an id."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    task_id = headers.get("id")
    if headers.get("task") != SPAWN_TASK or not isinstance(task_id, str):
        return
    services = services_in(worker)
    error = RequestInvalid((("message", f"cannot be read: {reason[:_REASON_CHARACTERS]}"),))
    try:
        services.store.run(services.submit_service.refuse(task_id, error))
    except OrchestratorError as failure:
        log.warning("not answered", agentId=task_id, reason=str(failure))


def install() -> None:
    """Register our transport with kombu for Valkey's addresses; call before any connection."""
    TRANSPORT_ALIASES.update(dict.fromkeys(_SCHEMES, f"{__name__}:Transport"))
