"""Queue entries and agents that no worker could read: named, up to a limit, for a person to see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from orchestrator.models.record import iso_instant
from orchestrator.store import keys, slots
from orchestrator.store.operations import Flow, Operation, command, essential, nothing
from orchestrator.store.transition import now_ms

#: The newest are kept, and of each so much.
MOST_KEPT, MOST_BYTES = 100, 64 * 1024
#: The agents that are named.
MOST_AGENTS = 10_000


def set_aside(queue: str, item: bytes, reason: str, *, now: datetime) -> Flow[None]:
    """Keep an entry of a queue that is none, with the reason."""
    document = json.dumps(
        {
            "at": iso_instant(now),
            "queue": queue,
            "reason": reason[:1000],
            "size": len(item),
            "item": item[:MOST_BYTES].decode(errors="replace"),
        }
    )
    yield command("LPUSH", keys.UNREADABLE, document, decode=nothing)
    yield command("LTRIM", keys.UNREADABLE, 0, MOST_KEPT - 1, decode=nothing)


def name_agent(agent_id: str, *, now: datetime) -> Flow[None]:
    """Name an agent whose record this version cannot read; the newest `MOST_AGENTS` are kept."""
    yield essential("ZADD", keys.UNREADABLE_AGENTS, now_ms(now), agent_id, decode=nothing)
    yield essential("ZREMRANGEBYRANK", keys.UNREADABLE_AGENTS, 0, -MOST_AGENTS - 1, decode=nothing)


def leave_line(agent_id: str, *, now: datetime) -> Flow[None]:
    """Name an agent as `name_agent` does, and let it wait for a slot no more."""
    yield slots.stop_waiting(agent_id)
    yield from name_agent(agent_id, now=now)


def agents_set_aside() -> Operation[tuple[str, ...]]:
    """List the named agents, the newest first."""
    return command(
        *("ZRANGE", keys.UNREADABLE_AGENTS, 0, -1, "REV"),
        decode=lambda reply: tuple(map(bytes.decode, reply)),
    )


def forget_agents(agent_ids: Sequence[str]) -> Operation[None]:
    """Remove names of agents whose records can be read again, or are gone."""
    return essential("ZREM", keys.UNREADABLE_AGENTS, *agent_ids, decode=nothing)
