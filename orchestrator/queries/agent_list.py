"""Pages of agents, newest first, with filters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from orchestrator.errors import IdAmbiguous, NotFound
from orchestrator.models import AgentState, AgentType, Status
from orchestrator.models.identifiers import AGENT_ID
from orchestrator.store import agent_index, agents
from orchestrator.store.operations import Flow

MAX_LIMIT = 500
#: An id is found by a prefix of at least this many characters (docs/api.md).
LEAST_PREFIX = 6
#: An ambiguous prefix is reported with so many candidates.
_MOST_CANDIDATES = 10
#: A mistyped id is compared with those of so many agents, the newest.
_COMPARED = 2_000
_MOST_MEANT = 3


def full_id(given: str) -> Flow[str]:
    """Return the id of the agent with this id, or whose id alone begins with it.

    Touches: the record of the agent; the index of all agents, if there is no such record.

    Raises:
        NotFound: there is no such agent; the error names what a mistyped id may mean.
        IdAmbiguous: several ids begin so; the error lists candidates.
    """
    if (yield agents.has_record(given)):
        return given
    found: list[str] = []
    if len(given) >= LEAST_PREFIX and AGENT_ID.fullmatch(given):
        cursor = 0
        while True:
            cursor, some = yield agent_index.scan_prefix(given, cursor)
            # A scan may return an id twice.
            found += [name for name in some if name not in found]
            if not cursor or len(found) > _MOST_CANDIDATES:
                break
    if not found:
        raise (yield from _unknown(given))
    if len(found) > 1:
        raise IdAmbiguous(given, tuple(sorted(found)[:_MOST_CANDIDATES]), has_more=bool(cursor))
    return found[0]


def _unknown(given: str) -> Flow[NotFound]:
    msg = f"There is no agent {given}."
    if len(given) < LEAST_PREFIX:
        return NotFound(f"{msg} The beginning of an id has at least {LEAST_PREFIX} characters.")
    names: list[str] = yield agent_index.ids_after("", _COMPARED)
    meant = [name for name in names if _is_meant(given, name)][:_MOST_MEANT]
    return NotFound(f"{msg} Did you mean {', or '.join(meant)}?" if meant else msg)


def _is_meant(given: str, name: str) -> bool:
    """Return whether one mistake in an id, or in the beginning of it, gives what was typed."""
    given, name = given.lower(), name.lower()
    same = takewhile(lambda pair: pair[0] == pair[1], zip(given, name, strict=False))
    at = sum(1 for _ in same)
    typed, rest = given[at:], name[at:]
    # One character too many, or two in the other order; another character, or one left out.
    return (
        not typed
        or rest.startswith((typed[1:], typed[1::-1] + typed[2:]))
        or rest[1:].startswith((typed[1:], typed))
    )


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

    The cursor is the last agentId of the previous page. Touches: the list of agents by spawn
    time, of the task or the status if one is given, and the records of the agents of the page;
    with another filter, those of the agents before them that it does not match too.

    Raises:
        CursorUnknown: the cursor names no agent of this list.
    """
    found: list[AgentState] = []
    while True:
        ids = yield agent_index.ids_after(cursor, limit + 1, task_id=task_id, status=status)
        # An index may still list an agent whose retention has ended; it is skipped.
        for agent in (yield from agents.read_each(ids)):
            if since is not None and agent.spawned_at < since:
                # The list is sorted by the same instant.
                return AgentPage(tuple(found), None)
            if not is_listed(
                agent, status=status, agent_type=agent_type, repository=repository, code=code
            ):
                continue
            if len(found) == limit:
                return AgentPage(tuple(found), found[-1].agent_id)
            found.append(agent)
        if len(ids) <= limit:
            return AgentPage(tuple(found), None)
        cursor = ids[-1]


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
