"""Pages of agents, newest first, with filters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

from orchestrator.errors import RequestInvalid
from orchestrator.models import AgentState, AgentType, Status
from orchestrator.store import agent_index, agents
from orchestrator.store.operations import Flow

MAX_LIMIT = 500
#: Ids that one step looks at for a status.
_SCANNED = 2_000


@dataclass(frozen=True)
class AgentPage:
    """One page of agents, and the cursor of the next page (None on the last page)."""

    agents: tuple[AgentState, ...]
    next_cursor: str | None


def page(
    *,
    status: Status | None = None,
    agent_type: AgentType | None = None,
    task_id: str | None = None,
    limit: int = 50,
    cursor: str = "",
) -> Flow[AgentPage]:
    """Read one page of at most `limit` agents, newest first.

    The cursor is the last agentId of the previous page. Touches: the index of agents by spawn
    time, of the task or the status if one is given, and the records of the agents of the page;
    with a type, those of the agents of other types before them too.

    Raises:
        RequestInvalid: the cursor names no agent of this list.
    """
    found: list[AgentState] = []
    short = None if task_id else status
    if short and (yield agent_index.count(short)) > _SCANNED:
        short = None
    while True:
        if short:
            ids = yield from _spawned_before(cursor, short)
        else:
            count = _SCANNED if status else limit + 1
            ids = yield agent_index.ids_after(cursor, count, task_id=task_id)
        if not ids:
            return AgentPage(tuple(found), None)
        named = compress(ids, (yield agent_index.has_status(ids, status))) if status else ids
        wanted = list(named)
        for start in range(0, len(wanted), limit + 1):
            # An index may still list an agent whose retention has ended; it is skipped.
            for agent in (yield from agents.read_each(wanted[start : start + limit + 1])):
                if agent_type not in {None, agent.agent_type} or status not in {None, agent.status}:
                    continue
                if len(found) == limit:
                    return AgentPage(tuple(found), found[-1].agent_id)
                found.append(agent)
        cursor = ids[-1]


def _spawned_before(agent_id: str, status: Status) -> Flow[list[str]]:
    """Read all ids of a status, newest first, that follow an id: however many others there are."""
    ids: list[str] = yield agent_index.ids_of(status)
    names = [*ids, agent_id] if agent_id else ids
    if not names:
        return []
    spawned = yield agent_index.spawned_ms(names)
    order = {name: (at, name) for name, at in zip(names, spawned, strict=True) if at is not None}
    if agent_id and agent_id not in order:
        raise RequestInvalid((agent_index.CURSOR_FAULT,))
    return sorted(
        (name for name in order if not agent_id or order[name] < order[agent_id]),
        key=order.__getitem__,
        reverse=True,
    )
