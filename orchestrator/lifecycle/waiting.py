"""Agents nobody holds: those that wait for their time, and those whose message may be lost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from orchestrator.lifecycle.moves import now_ms
from orchestrator.messages import (
    LEAST_URGENT,
    MOST_URGENT,
    QUEUES,
    StageMessage,
    queue_key,
)
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, call, command, nothing

_LIMIT = 500


def due(now: datetime) -> Operation[tuple[str, ...]]:
    """List the agents whose waiting time is over, the longest first."""
    return command(
        *("ZRANGE", keys.DELAYED, "-inf", now_ms(now), "BYSCORE", "LIMIT", 0, _LIMIT),
        decode=_names,
    )


def delayed() -> Operation[tuple[str, ...]]:
    """List every agent that waits for its time."""
    return command("ZRANGE", keys.DELAYED, 0, -1, decode=_names)


def uncalled() -> Operation[tuple[str, ...]]:
    """List the agents that wait for a place and have not been called."""
    return command("HKEYS", keys.UNCALLED, decode=_names)


def release(message: StageMessage, *, tag: str) -> Operation[bool]:
    """Queue an agent that waited for its time; False if somebody else has."""
    envelope = message.envelope(delivery_tag=tag, origin="orchestrator")
    return call("release", (keys.DELAYED, message.key), (message.agent_id, envelope), bool)


def forget(agent_id: str) -> Operation[None]:
    """Remove an agent that no longer exists from those that wait."""
    return command("ZREM", keys.DELAYED, agent_id, decode=nothing)


def park(backend: str, *, until: datetime, now: datetime) -> Operation[None]:
    """Let no agent of a backend start before an instant."""
    left_ms = max(now_ms(until) - now_ms(now), 1)
    return command("SET", keys.parked(backend), now_ms(until), "PX", left_ms, decode=nothing)


def parked_until_ms(backend: str) -> Operation[int]:
    """Return the instant (ms) before which no agent of a backend starts; 0 if any may."""
    return command("GET", keys.parked(backend), decode=lambda reply: int(reply or 0))


def queued() -> Flow[frozenset[str]]:
    """Return the Celery ids of every message in our queues."""
    found: set[str] = set()
    for queue in QUEUES:
        for priority in range(LEAST_URGENT, MOST_URGENT + 1):
            key = queue_key(queue, priority)
            found |= yield command("LRANGE", key, 0, -1, decode=_message_ids)
    return frozenset(found)


def suspects() -> Operation[dict[str, int]]:
    """Return the agents whose message was missing → since when (ms)."""
    return command(
        *("ZRANGE", keys.SUSPECTS, 0, -1, "WITHSCORES"),
        decode=lambda reply: {
            name.decode(): int(since) for name, since in zip(reply[::2], reply[1::2], strict=True)
        },
    )


def suspect(marks: Iterable[str], *, now: datetime) -> Operation[None]:
    """Note these as missed since now, and nobody else."""
    instant = now_ms(now)
    pairs = [part for mark in marks for part in (instant, mark)]
    return command("ZADD", keys.SUSPECTS, "NX", *pairs, decode=nothing)


def clear(marks: Iterable[str]) -> Operation[None]:
    """Take these off the suspects."""
    return command("ZREM", keys.SUSPECTS, *marks, decode=nothing)


def _names(reply: list[bytes]) -> tuple[str, ...]:
    return tuple(name.decode() for name in reply)


def _message_ids(reply: list[bytes]) -> set[str]:
    return {_id_of(message) for message in reply}


def _id_of(message: bytes) -> str:
    try:
        document: Any = json.loads(message)
        return str(document["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""  # not a message of Celery's: not one that we miss
