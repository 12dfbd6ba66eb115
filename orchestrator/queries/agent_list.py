"""Pages of agents, newest first, with filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.errors import IdAmbiguous, NotFound
from orchestrator.models import AgentState, AgentType, Status
from orchestrator.models.identifiers import AGENT_ID
from orchestrator.store import agent_index, agents
from orchestrator.store.operations import Flow

MAX_LIMIT = 500


#: An id is found by a prefix of at least this many characters.
LEAST_PREFIX = 4
#: An ambiguous prefix is reported with so many candidates.
_MOST_CANDIDATES = 10


def full_id(given: str, *, least: int = LEAST_PREFIX) -> Flow[str]:
    """Return the id of the agent with this id, or whose id alone begins with it.

    Touches: the record of the agent; the index of all agents, if there is no such record.

    Raises:
        NotFound: there is no such agent.
        IdAmbiguous: several ids begin so; the error lists candidates.
    """
    if (yield agents.has_record(given)):
        return given
    found: list[str] = []
    if len(given) >= least and AGENT_ID.fullmatch(given):
        cursor = 0
        while True:
            cursor, some = yield agent_index.scan_prefix(given, cursor)
            # A scan may return an id twice.
            found += [name for name in some if name not in found]
            if not cursor or len(found) > _MOST_CANDIDATES:
                break
    if not found:
        msg = f"There is no agent {given}."
        raise NotFound(msg)
    if len(found) > 1:
        raise IdAmbiguous(given, tuple(sorted(found)[:_MOST_CANDIDATES]), has_more=bool(cursor))
    return found[0]


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
    repository: str | None = None,
    code: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
    cursor: str = "",
) -> Flow[AgentPage]:
    """Read one page of at most `limit` agents, newest first.

    `repository` is an address, or its last parts such as `group/shop`; `code` is an error code;
    `since` leaves out agents that were spawned earlier.

    The cursor is the last agentId of the previous page. Touches: the index of agents by spawn
    time, of the task if one is given, and the records of the agents.

    Raises:
        CursorUnknown: the cursor names no agent of this list.
    """

    def is_wanted(agent: AgentState) -> bool:
        return is_listed(
            agent, status=status, agent_type=agent_type, repository=repository, code=code
        )

    return _page(task_id, is_wanted, since, limit, cursor)


def is_listed(
    agent: AgentState,
    *,
    status: Status | None = None,
    agent_type: AgentType | None = None,
    task_id: str | None = None,
    repository: str | None = None,
    code: str | None = None,
    since: datetime | None = None,
) -> bool:
    """Return whether the filters of a list match an agent; None matches any."""
    return (
        status in {None, agent.status}
        and agent_type in {None, agent.agent_type}
        and task_id in {None, agent.task_id}
        and code in {None, agent.error_code}
        and (since is None or agent.spawned_at >= since)
        and (repository is None or _names_repository(agent.repository, repository))
    )


def _names_repository(stored: str, given: str) -> bool:
    stored, given = (text.rstrip("/").removesuffix(".git") for text in (stored, given))
    return stored == given or stored.endswith((f"/{given}", f":{given}"))


def _page(
    task_id: str | None,
    is_wanted: Callable[[AgentState], bool],
    since: datetime | None,
    limit: int,
    after: str,
) -> Flow[AgentPage]:
    found: list[AgentState] = []
    while True:
        ids = yield agent_index.ids_after(after, limit + 1, task_id=task_id)
        if not ids:
            return AgentPage(tuple(found), None)
        # An index may still list an agent whose retention has ended; it is skipped.
        for agent in (yield from agents.read_each(ids)):
            if since is not None and agent.spawned_at < since:
                # The index is sorted by the same instant.
                return AgentPage(tuple(found), None)
            if is_wanted(agent):
                if len(found) == limit:
                    return AgentPage(tuple(found), found[-1].agent_id)
                found.append(agent)
        after = ids[-1]
