"""The indexes of agents: all of them, those of a task, and those of each status."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator.errors import CursorUnknown
from orchestrator.models import Status
from orchestrator.store import keys
from orchestrator.store.operations import Operation, call, command, nothing
from orchestrator.store.transition import now_ms

#: Ids that one step of a scan compares: it takes Valkey about a millisecond.
_SCANNED = 2000


def ids_after(
    after: str, count: int, *, task_id: str | None = None, status: Status | None = None
) -> Operation[list[str]]:
    """Read ids of all agents, of a task's or of a status, the newest first, from behind an id.

    The id may have left the status meanwhile.

    Raises:
        CursorUnknown: the id is of no agent, or of none of the task.
    """

    def decode(reply: list[bytes] | None) -> list[str]:
        if reply is None:
            raise CursorUnknown
        return _names(reply)

    known = keys.task_agents(task_id) if task_id else keys.AGENTS
    index = keys.listed(status) if status and not task_id else known
    return call("ids_after", {"index": index, "known": known}, (after, count), decode)


def all_ids() -> Operation[list[str]]:
    """List every agent."""
    return command("ZRANGE", keys.AGENTS, 0, -1, decode=_names)


def scan_prefix(prefix: str, cursor: int) -> Operation[tuple[int, list[str]]]:
    """Read some of the ids that begin with a prefix, and the next cursor: 0 at the end.

    The prefix consists of letters, digits, - and _, which no pattern interprets.
    """
    return command(
        *("ZSCAN", keys.AGENTS, cursor, "MATCH", f"{prefix}*", "COUNT", _SCANNED),
        decode=lambda reply: (int(reply[0]), _names([name for name, _ in reply[1]])),
    )


def spawned_ms(agent_ids: Sequence[str]) -> Operation[list[float | None]]:
    """Read when each of these was spawned (ms); None where it is no more."""
    return command(
        *("ZMSCORE", keys.AGENTS, *agent_ids),
        decode=lambda reply: [None if score is None else float(score) for score in reply],
    )


def remove(agent_id: str) -> Operation[None]:
    """Remove an agent from the index of all."""
    return command("ZREM", keys.AGENTS, agent_id, decode=nothing)


def remove_from_task(agent_id: str, task_id: str) -> Operation[None]:
    """Remove an agent from those that served a task."""
    return command("ZREM", keys.task_agents(task_id), agent_id, decode=nothing)


def count(status: Status) -> Operation[int]:
    """Count the agents of a status."""
    return command("ZCARD", keys.status_index(status), decode=int)


def ids_of(status: Status) -> Operation[list[str]]:
    """List the agents of a status, the first to enter it first."""
    return command("ZRANGE", keys.status_index(status), 0, -1, decode=_names)


def slice_of(status: Status, start: int, count: int) -> Operation[list[str]]:
    """List some agents of a status, the first to enter it first, from a position on."""
    return command("ZRANGE", keys.status_index(status), start, start + count - 1, decode=_names)


def listed(status: Status) -> Operation[list[str]]:
    """List the agents of a status, the first to be spawned first."""
    return command("ZRANGE", keys.listed(status), 0, -1, decode=_names)


def list_again(status: Status, agent_id: str, *, spawned: datetime) -> Operation[None]:
    """Add an agent to the list of a status."""
    return command("ZADD", keys.listed(status), now_ms(spawned), agent_id, decode=nothing)


def unlist(status: Status, agent_id: str) -> Operation[None]:
    """Remove an agent from the list of a status."""
    return command("ZREM", keys.listed(status), agent_id, decode=nothing)


def newest(status: Status, *, limit: int) -> Operation[list[str]]:
    """List the agents that entered a status last, the latest first."""
    return command("ZRANGE", keys.status_index(status), 0, limit - 1, "REV", decode=_names)


def entered_between(status: Status, since: datetime, until: datetime) -> Operation[list[str]]:
    """List the agents that entered a status between two instants."""
    bounds = now_ms(since), now_ms(until)
    return command("ZRANGE", keys.status_index(status), *bounds, "BYSCORE", decode=_names)


def entered_after(status: Status, instant: datetime) -> Operation[list[str]]:
    """List the agents that entered a status after an instant."""
    bounds = f"({now_ms(instant)}", "+inf"
    return command("ZRANGE", keys.status_index(status), *bounds, "BYSCORE", decode=_names)


def entered_before(status: Status, until: datetime, *, limit: int) -> Operation[list[str]]:
    """List the agents that entered a status before an instant, the first to do so first."""
    return command(
        *("ZRANGE", keys.status_index(status), "-inf", now_ms(until), "BYSCORE"),
        *("LIMIT", 0, limit),
        decode=_names,
    )


def add_to(status: Status, agent_id: str, *, now: datetime) -> Operation[None]:
    """Add an agent to the index of a status."""
    return command("ZADD", keys.status_index(status), now_ms(now), agent_id, decode=nothing)


def remove_from(status: Status, agent_id: str) -> Operation[None]:
    """Remove an agent from the index of a status."""
    return command("ZREM", keys.status_index(status), agent_id, decode=nothing)


def _names(reply: list[bytes]) -> list[str]:
    return [name.decode() for name in reply]
