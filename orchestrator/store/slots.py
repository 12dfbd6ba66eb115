"""The slots of the fleet: which agents hold one, and which wait for one."""

from __future__ import annotations

from datetime import datetime

from orchestrator.messages import PRIORITY_STEPS
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, command, nothing
from orchestrator.store.transition import URGENCY_STEP, now_ms


def holders() -> Operation[list[str]]:
    """List the agents that hold a slot, the longest first."""
    return command("ZRANGE", keys.SLOTS, 0, -1, decode=_names)


def waiting() -> Operation[list[str]]:
    """List the agents that wait for a slot, the most urgent first."""
    return command("ZRANGE", keys.WAITING, 0, -1, decode=_names)


def held_count() -> Operation[int]:
    """Count the slots that are held."""
    return command("ZCARD", keys.SLOTS, decode=int)


def waiting_count() -> Operation[int]:
    """Count the agents that wait for a slot."""
    return command("ZCARD", keys.WAITING, decode=int)


def longest_waiting() -> Flow[list[str]]:
    """List of each priority the agent that waits for a slot since the longest."""
    found: list[str] = []
    for step in PRIORITY_STEPS:
        bounds = step * URGENCY_STEP, (step + 1) * URGENCY_STEP - 1
        found += yield command(
            *("ZRANGE", keys.WAITING, *bounds, "BYSCORE", "LIMIT", 0, 1), decode=_names
        )
    return found


def assign(agent_id: str, *, now: datetime) -> Operation[None]:
    """Record that an agent holds a slot."""
    return command("ZADD", keys.SLOTS, now_ms(now), agent_id, decode=nothing)


def free(agent_id: str) -> Operation[None]:
    """Free the slot of an agent."""
    return command("ZREM", keys.SLOTS, agent_id, decode=nothing)


def stop_waiting(agent_id: str) -> Operation[None]:
    """Remove an agent from those that wait for a slot."""
    return command("ZREM", keys.WAITING, agent_id, decode=nothing)


def _names(reply: list[bytes]) -> list[str]:
    return [name.decode() for name in reply]
