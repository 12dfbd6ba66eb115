"""The messages in the queues, and the agents whose message seems to be lost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from orchestrator.messages import (
    LEAST_URGENT,
    MOST_URGENT,
    QUEUES,
    queue_key,
)
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, command, nothing
from orchestrator.store.transition import now_ms


def queued() -> Flow[frozenset[str]]:
    """Return the Celery ids of every message in our queues."""
    found: set[str] = set()
    for queue in QUEUES:
        for priority in range(LEAST_URGENT, MOST_URGENT + 1):
            key = queue_key(queue, priority)
            found |= yield command("LRANGE", key, 0, -1, decode=_message_ids)
    return frozenset(found)


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
