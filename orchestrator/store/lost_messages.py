"""The messages in the queues, and the agents whose message seems to be lost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.messages import (
    LEAST_URGENT,
    MOST_URGENT,
    PRIORITY_STEPS,
    QUEUES,
    StageMessage,
    queue_key,
)
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, call, command, nothing
from orchestrator.store.transition import AWAITED_STEP, awaited, now_ms

#: Messages of a list that one sweep reads, and agents that it compares with them.
_MESSAGES, _AGENTS = 200, 500
#: Messages may be sent in another order than their instants say.
_OUT_OF_ORDER_MS = 10_000


def queued() -> Flow[frozenset[str]]:
    """Return the Celery ids of every message in our queues."""
    found: set[str] = set()
    for queue in QUEUES:
        for priority in range(LEAST_URGENT, MOST_URGENT + 1):
            key = queue_key(queue, priority)
            found |= yield command("LRANGE", key, 0, -1, decode=_message_ids)
    return frozenset(found)


@dataclass(frozen=True)
class Missing:
    """An agent whose message is not in its list, and when that was sent (ms)."""

    agent_id: str
    sent_ms: int


def missing() -> Flow[list[Missing]]:
    """Find agents whose message is not in its list, as far as their turn has come."""
    found: list[Missing] = []
    number = "0"
    while number:
        number, some = yield _missing_from(number)
        found += some
    return found


def _missing_from(number: str) -> Operation[tuple[str, list[Missing]]]:
    def decode(reply: list[bytes]) -> tuple[str, list[Missing]]:
        after, *rest = (part.decode() for part in reply)
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return after, [Missing(name, int(float(at)) % AWAITED_STEP) for name, at in pairs]

    lists = [queue_key(queue, MOST_URGENT - step) for queue in QUEUES for step in PRIORITY_STEPS]
    named = {"awaiting": keys.AWAITING, "lists": lists}
    arguments = (number, _MESSAGES, _AGENTS, _OUT_OF_ORDER_MS)
    return call("missing_messages", named, arguments, decode)


def awaiting() -> Operation[list[str]]:
    """List every agent whose message is in a list."""
    return command(
        "ZRANGE", keys.AWAITING, 0, -1, decode=lambda reply: [name.decode() for name in reply]
    )


def await_message(message: StageMessage, *, now: datetime) -> Operation[None]:
    """Record that an agent's message is in its list."""
    score = awaited(message, now)
    return command("ZADD", keys.AWAITING, score, message.agent_id, decode=nothing)


def await_no_message(agent_id: str) -> Operation[None]:
    """Record that an agent awaits no message."""
    return command("ZREM", keys.AWAITING, agent_id, decode=nothing)


def suspected() -> Operation[dict[str, int]]:
    """Return the agents whose message was missing → since when (ms)."""
    return command(
        *("ZRANGE", keys.LOST_MESSAGES, 0, -1, "WITHSCORES"),
        decode=lambda reply: {
            name.decode(): int(since) for name, since in zip(reply[::2], reply[1::2], strict=True)
        },
    )


def suspect_lost(task_ids: Iterable[str], *, now: datetime) -> Operation[None]:
    """Note these as missed since now, and nobody else."""
    instant = now_ms(now)
    pairs = [part for task_id in task_ids for part in (instant, task_id)]
    return command("ZADD", keys.LOST_MESSAGES, "NX", *pairs, decode=nothing)


def clear_lost(task_ids: Iterable[str]) -> Operation[None]:
    """Remove these from the possibly lost messages."""
    return command("ZREM", keys.LOST_MESSAGES, *task_ids, decode=nothing)


def _message_ids(reply: list[bytes]) -> set[str]:
    return {message_id_of(message) for message in reply}


def message_id_of(message: bytes) -> str:
    """Return the Celery id of a message; empty for what is no message of Celery's."""
    try:
        document: Any = json.loads(message)
        return str(document["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""  # not a message of Celery's: not one that we miss
