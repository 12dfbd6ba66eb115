"""Pages of agents, newest first, with filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.errors import RequestInvalid
from orchestrator.models import AgentState, AgentType, Status
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, call, read_records

MAX_LIMIT = 500


@dataclass(frozen=True)
class AgentPage:
    """Some agents, and the cursor of the next page (None on the last)."""

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
    """Read one page of agents, newest first; the cursor is the last agentId of the page before.

    Raises:
        RequestInvalid: the cursor names no agent of this list.
    """

    def is_wanted(agent: AgentState) -> bool:
        return (status is None or agent.status is status) and (
            agent_type is None or agent.agent_type is agent_type
        )

    index = keys.task_agents(task_id) if task_id else keys.AGENTS
    return _page(index, is_wanted, limit, cursor)


def _page(
    index: str, is_wanted: Callable[[AgentState], bool], limit: int, after: str
) -> Flow[AgentPage]:
    found: list[AgentState] = []
    while True:
        ids = yield _ids_after(index, after, limit + 1)
        if not ids:
            return AgentPage(tuple(found), None)
        agents = yield read_records(AgentState, tuple(keys.agent(name) for name in ids))
        # A record whose retention has ended may still stand in an index: it is passed over.
        for agent in agents:
            if agent is not None and is_wanted(agent):
                if len(found) == limit:
                    return AgentPage(tuple(found), found[-1].agent_id)
                found.append(agent)
        after = ids[-1]


def _ids_after(index: str, after: str, count: int) -> Operation[list[str]]:
    def decode(reply: list[bytes] | None) -> list[str]:
        if reply is None:
            raise RequestInvalid((("cursor", "names no agent of this list"),))
        return [name.decode() for name in reply]

    return call("ids_after", (index,), (after, count), decode)
