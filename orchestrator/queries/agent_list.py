"""Pages of agents, newest first, with filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.models import AgentState, AgentType, Status
from orchestrator.store import agent_index, agents
from orchestrator.store.operations import Flow

MAX_LIMIT = 500


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
    time, of the task if one is given, and the records of the agents.

    Raises:
        RequestInvalid: the cursor names no agent of this list.
    """

    def is_wanted(agent: AgentState) -> bool:
        return (status is None or agent.status is status) and (
            agent_type is None or agent.agent_type is agent_type
        )

    return _page(task_id, is_wanted, limit, cursor)


def _page(
    task_id: str | None, is_wanted: Callable[[AgentState], bool], limit: int, after: str
) -> Flow[AgentPage]:
    found: list[AgentState] = []
    while True:
        ids = yield agent_index.ids_after(after, limit + 1, task_id=task_id)
        if not ids:
            return AgentPage(tuple(found), None)
        # An index may still list an agent whose retention has ended; it is skipped.
        for agent in (yield from agents.read_each(ids)):
            if is_wanted(agent):
                if len(found) == limit:
                    return AgentPage(tuple(found), found[-1].agent_id)
                found.append(agent)
        after = ids[-1]
