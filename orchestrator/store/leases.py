"""The leases of agents: renewed, listed when they have ended, and dropped."""

from __future__ import annotations

from datetime import datetime

from orchestrator.models import AgentState
from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, command, essential, nothing, text
from orchestrator.store.transition import holder_of, now_ms


def heartbeat(agent: AgentState, *, lease_s: float, now: datetime) -> Operation[str]:
    """Renew the lease; the reply is `held`, `released`, `stale`, `absent` or the end's status.

    Behind `held` may stand, after a space, the limit that leaves the agent nothing to spend.
    """
    deadline = now_ms(now) + round(lease_s * 1000)
    return call(
        "heartbeat",
        {
            "agent": keys.agent(agent.agent_id),
            "leases": keys.LEASES,
            "budget": keys.budget(now),
        },
        (agent.agent_id, agent.attempt, deadline, holder_of(agent)),
        text,
    )


#: The agents that one read of expired leases lists.
WINDOW = 100


def defer(agent_id: str, until: datetime) -> Operation[None]:
    """Let a lease end at this instant instead; one that is gone stays so."""
    return essential("ZADD", keys.LEASES, "XX", now_ms(until), agent_id, decode=nothing)


def expired(now: datetime, *, limit: int = WINDOW) -> Operation[dict[str, int]]:
    """List agents whose lease has ended, the longest first, with the instants (ms) of the ends."""
    return command(
        "ZRANGE",
        keys.LEASES,
        "-inf",
        now_ms(now),
        "BYSCORE",
        "LIMIT",
        0,
        limit,
        "WITHSCORES",
        decode=lambda reply: {
            name.decode(): int(end) for name, end in zip(reply[::2], reply[1::2], strict=True)
        },
    )


def ending_after(instant: datetime, *, limit: int = 100) -> Operation[tuple[str, ...]]:
    """List agents whose lease ends after an instant."""
    return command(
        *("ZRANGE", keys.LEASES, f"({now_ms(instant)}", "+inf", "BYSCORE", "LIMIT", 0, limit),
        decode=lambda reply: tuple(agent_id.decode() for agent_id in reply),
    )


def shorten(agent_id: str, until: datetime) -> Operation[None]:
    """Let a lease end at this instant, if it would end later; one that is gone stays so."""
    return essential("ZADD", keys.LEASES, "XX", "LT", now_ms(until), agent_id, decode=nothing)


def holders() -> Operation[tuple[str, ...]]:
    """List the agents that a worker holds."""
    return command(
        "ZRANGE", keys.LEASES, 0, -1, decode=lambda reply: tuple(map(bytes.decode, reply))
    )


def add_expired(agent_id: str) -> Operation[None]:
    """Give an agent a lease that has ended: the sweep lets another attempt go on."""
    return command("ZADD", keys.LEASES, 0, agent_id, decode=nothing)


def drop_lease(agent_id: str) -> Operation[None]:
    """Remove a lease that belongs to no agent."""
    return command("ZREM", keys.LEASES, agent_id, decode=nothing)
