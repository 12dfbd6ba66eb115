"""Agents nobody holds: those that wait for their time, and those whose message may be lost."""

from __future__ import annotations

from datetime import datetime

from orchestrator.messages import (
    StageMessage,
)
from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, command, essential, nothing
from orchestrator.store.transition import awaited, now_ms

#: The agents that one read of due agents lists.
WINDOW = 500


def due(now: datetime) -> Operation[tuple[str, ...]]:
    """List the agents whose waiting time is over, the longest first."""
    return command(
        *("ZRANGE", keys.DELAYED, "-inf", now_ms(now), "BYSCORE", "LIMIT", 0, WINDOW),
        decode=_names,
    )


def due_after(instant: datetime) -> Operation[tuple[str, ...]]:
    """List agents that are due only after this instant, the latest first."""
    return command(
        *("ZRANGE", keys.DELAYED, "+inf", f"({now_ms(instant)}", "BYSCORE", "REV"),
        *("LIMIT", 0, WINDOW),
        decode=_names,
    )


def defer(agent_id: str, until: datetime) -> Operation[None]:
    """Let a delayed agent wait until this instant instead; one that is gone stays so."""
    return essential("ZADD", keys.DELAYED, "XX", now_ms(until), agent_id, decode=nothing)


def delayed() -> Operation[tuple[str, ...]]:
    """List every agent that waits for its time."""
    return command("ZRANGE", keys.DELAYED, 0, -1, decode=_names)


def due_at_ms(agent_id: str) -> Operation[int | None]:
    """Return the instant (ms) from which an agent may be queued again; None if it waits not."""
    return command(
        *("ZSCORE", keys.DELAYED, agent_id),
        decode=lambda reply: None if reply is None else int(float(reply)),
    )


def uncalled() -> Operation[tuple[str, ...]]:
    """List the agents that wait for a place and have not been called."""
    return command("HKEYS", keys.UNCALLED, decode=_names)


def uncalled_count() -> Operation[int]:
    """Count the agents that wait for a place and have not been called."""
    return command("HLEN", keys.UNCALLED, decode=int)


def release(message: StageMessage, *, now: datetime, tag: str) -> Operation[bool]:
    """Queue an agent that waited for its time; False if somebody else has."""
    envelope = message.envelope(delivery_tag=tag, origin="orchestrator")
    return call(
        "release",
        {"delayed": keys.DELAYED, "queue": message.key, "awaiting": keys.AWAITING},
        (message.agent_id, envelope, awaited(message, now)),
        bool,
    )


def forget(agent_id: str) -> Operation[None]:
    """Remove an agent that no longer exists from those that wait."""
    return command("ZREM", keys.DELAYED, agent_id, decode=nothing)


def _names(reply: list[bytes]) -> tuple[str, ...]:
    return tuple(name.decode() for name in reply)
