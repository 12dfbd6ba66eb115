"""`orch ls`: lists agents, first those that need attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import AgentFilter, Client, all_pages
from orchestrator.cli.output.render import (
    STYLES,
    detaching,
    elapsed,
    json_option,
    print_json,
    shown_state,
)
from orchestrator.cli.output.table import ID_WIDTH, Column, print_table
from orchestrator.cli.output.text import is_terminal, notify, say
from orchestrator.cli.values import GIVEN, SINCE, ChoiceType
from orchestrator.models import AgentState, AgentType, Status
from orchestrator.models.attention import MOST_EXAMINED, Attention, examines_all
from orchestrator.queries import agent_list
from orchestrator.settings import Settings
from orchestrator.wiring import clock

_COLUMNS = (
    Column("NEEDS", 0),
    Column("AGENT", 0, least=ID_WIDTH),
    Column("STATE", 0),
    Column("TYPE", 4),
    Column("TIME", 1),
    Column("TOKENS", 3, is_number=True),
    Column("TASK", 2),
    Column("WHY", is_below=True),
    Column("NEXT", is_below=True, is_copied=True),
)
_MARK = "!"


#: `--sort` → the key of an agent; the largest is listed first, but names in their order.
_SORTS: Mapping[str, Callable[[AgentState], Any]] = {
    "newest": lambda agent: -agent.spawned_at.timestamp(),
    "oldest": lambda agent: agent.spawned_at.timestamp(),
    "time": lambda agent: agent.spawned_at - (agent.completed_at or clock()),
    "tokens": lambda agent: -agent.usage.total_tokens,
    "cost": lambda agent: -(agent.usage.cost_usd or 0.0),
    "priority": lambda agent: -agent.priority,
    "task": lambda agent: agent.task_id,
    "repo": lambda agent: agent.repository,
    "state": shown_state,
}


@dataclass(frozen=True)
class _Shown:
    """The agents to print, in their order."""

    agents: tuple[AgentState, ...]
    attention: Mapping[str, Attention]
    next_cursor: str | None = None
    #: How many more need attention.
    left_out: int = 0
    #: Whether older agents, which were not examined, may need attention too.
    may_miss: bool = False


@dataclass(frozen=True)
class _Wanted:
    """What the options ask for."""

    filter: AgentFilter
    is_urgent: bool
    limit: int
    cursor: str
    sort: str | None
    #: Whether exactly one page is listed, as GET /agents returns it.
    is_page: bool


@click.command()
@click.option("--status", type=ChoiceType(Status), help="Only agents in this state.")
@click.option("--type", "agent_type", type=ChoiceType(AgentType), help="Only agents of this type.")
@click.option("--task", "task_id", type=GIVEN, metavar="ID", help="Only agents of this task.")
@click.option(
    "--repo",
    "repository",
    type=GIVEN,
    metavar="URL",
    help="Only agents on this repository: its address, or the end of it such as group/shop.",
)
@click.option("--code", type=GIVEN, help="Only agents that ended with this error code.")
@click.option(
    "--since", type=SINCE, metavar="2h|TIME", help="Only agents that were spawned since then."
)
@click.option("--attention", "is_urgent", is_flag=True, help="Only agents that need attention.")
@click.option(
    "--sort",
    type=ChoiceType(_SORTS),
    help="The order, over all agents that match. Default: those that need attention, then newest.",
)
@click.option(
    "--limit", type=click.IntRange(1, agent_list.MAX_LIMIT), default=50, show_default=True
)
@click.option("--cursor", default="", metavar="ID", help="Continue after this agent.")
@click.option("--watch", is_flag=True, help="List again at each change until Ctrl-C.")
@click.option("--ids", "is_ids", is_flag=True, help="Print only ids, for a command that takes `-`.")
@json_option
@click.pass_obj
def ls(
    settings: Settings,
    /,
    *,
    is_urgent: bool,
    sort: str | None,
    limit: int,
    cursor: str,
    watch: bool,
    is_ids: bool,
    as_json: bool,
    **query: Any,
) -> None:
    """List agents: first those that need attention, with reason and command, then the newest.

    The JSON is the page that GET /agents returns, newest first, plus `attention`: agentId → {rank,
    code, why, command}.
    """
    if sort and cursor:
        msg = "--cursor continues the newest first: it does not go with --sort."
        raise click.UsageError(msg)
    is_page = as_json or bool(cursor)
    wanted = _Wanted(AgentFilter(**query), is_urgent, limit, cursor, sort, is_page)
    show = _print_ids if is_ids else _print_document if as_json else _print
    with open_client(settings, is_following=watch) as client:
        if watch:
            with detaching(lambda: "orch ls --watch"):
                for found in _changes(client, wanted):
                    show(found)
            return
        found = _read(client, wanted)
        if is_urgent or found.left_out:
            found = replace(found, may_miss=not examines_all(client.counts()))
    show(found)
    if not as_json:
        _notify_rest(found, is_urgent=is_urgent)


def _notify_rest(found: _Shown, *, is_urgent: bool) -> None:
    if found.left_out:
        most, least = agent_list.MAX_LIMIT, "at least " if found.may_miss else ""
        notify(f"{least}{found.left_out} more need you: orch ls --attention --limit {most}")
    if is_urgent and found.may_miss:
        count = len(found.agents) + found.left_out
        notify(
            f"at least {count} need attention; there may be more: only the newest {MOST_EXAMINED} "
            "of each state are examined"
        )
    if found.next_cursor:
        notify(f"there are more: --cursor {found.next_cursor}")


def _changes(client: Client, wanted: _Wanted) -> Iterator[_Shown]:
    before: _Shown | None = None
    while True:
        # Before the agents are read: a later change ends the wait below.
        last = client.last_event_id()
        found = _read(client, wanted)
        # A terminal also shows how the times go on.
        if found != before or is_terminal():
            before = found
            if is_terminal():
                click.clear()
            yield found
        client.await_event(last)


def _read(client: Client, wanted: _Wanted) -> _Shown:
    if wanted.sort:
        return _sorted(client, wanted, _SORTS[wanted.sort])
    limit, found, known = wanted.limit, dict[str, Attention](), dict[str, AgentState]()
    page: tuple[AgentState, ...] = ()
    next_cursor = None
    if not wanted.is_urgent:
        listing = client.agents(wanted.filter, limit=limit, cursor=wanted.cursor)
        page, next_cursor = listing.agents, listing.next_cursor
        found |= listing.attention
    # At any age; but JSON and a page after a cursor contain only that page.
    if wanted.is_urgent or not wanted.is_page:
        for agent, need in client.urgent(wanted.filter):
            found[agent.agent_id], known[agent.agent_id] = need, agent
    known |= {agent.agent_id: agent for agent in page}
    # The sort is stable: among equal ranks the newest stays first.
    first = sorted(
        (agent for name, agent in known.items() if name in found),
        key=lambda agent: found[agent.agent_id].rank or 0,
    )
    if wanted.is_page:
        return _Shown(tuple(first[:limit]) if wanted.is_urgent else page, found, next_cursor)
    others = [agent for agent in page if agent.agent_id not in found]
    listed = tuple([*first, *others][:limit])
    return _Shown(listed, found, next_cursor, max(0, len(first) - limit))


def _sorted(client: Client, wanted: _Wanted, key: Callable[[AgentState], Any]) -> _Shown:
    agents: list[AgentState] = []
    attention: dict[str, Attention] = {}
    if wanted.is_urgent:
        for agent, need in client.urgent(wanted.filter):
            agents.append(agent)
            attention[agent.agent_id] = need
    else:
        for page in all_pages(client, wanted.filter):
            agents += page.agents
            attention |= page.attention
    agents.sort(key=key)
    return _Shown(tuple(agents[: wanted.limit]), attention)


def _print_ids(found: _Shown) -> None:
    for agent in found.agents:
        say(agent.agent_id)


def _print_document(found: _Shown) -> None:
    print_json(_document(found))


def _document(found: _Shown) -> dict[str, object]:
    needs = {
        agent.agent_id: need.wire()
        for agent in found.agents
        if (need := found.attention.get(agent.agent_id))
    }
    listed = [agent.wire() for agent in found.agents]
    document: dict[str, object] = {"agents": listed, "attention": needs}
    return document | ({"nextCursor": found.next_cursor} if found.next_cursor else {})


def _print(shown: _Shown) -> None:
    listed, found = shown.agents, shown.attention
    rows = []
    for agent in listed:
        need = found.get(agent.agent_id)
        rows.append(
            (
                _MARK if need else "",
                agent.agent_id,
                shown_state(agent),
                agent.agent_type,
                elapsed(agent),
                str(agent.usage.total_tokens),
                agent.task_id,
                *((need.why, need.command) if need else ("", "")),
            )
        )
    print_table(_COLUMNS, rows, [STYLES[agent.status] for agent in listed], at=2)
