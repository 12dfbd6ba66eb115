"""`orch ls`: agents, those that need somebody first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from orchestrator.cli import open_store
from orchestrator.cli.output.render import (
    STYLES,
    console,
    elapsed,
    json_option,
    print_json,
    print_table,
)
from orchestrator.cli.output.text import notify, one_line, say
from orchestrator.models import AgentState, AgentType, Status
from orchestrator.models.state_machine import FINAL
from orchestrator.queries import agent_list, attention
from orchestrator.queries.agent_list import AgentPage
from orchestrator.queries.attention import Need
from orchestrator.settings import Settings
from orchestrator.store.operations import Flow
from orchestrator.wiring import clock

_HEADER = ("NEEDS", "AGENT", "STATE", "TYPE", "TIME", "TOKENS", "TASK")
_MARK = "!"
#: Columns that a terminal with less than so many is spared.
_LESSER, _WIDE = frozenset({"TYPE", "TOKENS"}), 100


@click.command()
@click.option(
    "--status", type=click.Choice(Status, case_sensitive=False), help="Only agents in this state."
)
@click.option(
    "--type",
    "agent_type",
    type=click.Choice(AgentType, case_sensitive=False),
    help="Only agents of this type.",
)
@click.option("--task", "task_id", metavar="ID", help="Only agents of this task.")
@click.option("--attention", "is_urgent", is_flag=True, help="Only agents that need attention.")
@click.option(
    "--limit", type=click.IntRange(1, agent_list.MAX_LIMIT), default=50, show_default=True
)
@click.option("--cursor", default="", metavar="ID", help="Continue after this agent.")
@json_option
@click.pass_obj
def ls(
    settings: Settings, /, *, is_urgent: bool, limit: int, cursor: str, as_json: bool, **query: Any
) -> None:
    """List agents: first those that need attention, with reason and command, then the newest.

    The JSON is the page that GET /agents returns, newest first, plus `attention`: agentId → {why,
    command}.
    """
    with open_store(settings) as store:
        urgent: tuple[AgentState, ...] = ()
        page = AgentPage((), None)
        if not is_urgent:
            page = store.follow(agent_list.page(**query, limit=limit, cursor=cursor))
        # However old they are; but JSON and what a cursor asks for is that page.
        if is_urgent or not (as_json or cursor):
            urgent = store.follow(_urgent(**query))
        known = {agent.agent_id: agent for agent in (*urgent, *page.agents)}
        found = store.follow(attention.needs(tuple(known.values()), clock()))
    # The sort is stable: among equals the newest stays first.
    first = sorted(
        (agent for name, agent in known.items() if name in found),
        key=lambda agent: found[agent.agent_id].rank,
    )
    if as_json:
        print_json(_document(first[:limit] if is_urgent else page.agents, found, page.next_cursor))
        return
    others = [agent for agent in page.agents if agent.agent_id not in found]
    _print([*first, *others][:limit], found)
    if len(first) > limit:
        most = agent_list.MAX_LIMIT
        notify(f"{len(first) - limit} more need you: orch ls --attention --limit {most}")
    if page.next_cursor:
        notify(f"there are more: --cursor {page.next_cursor}")


def _urgent(
    *, status: Status | None, agent_type: AgentType | None, task_id: str | None
) -> Flow[tuple[AgentState, ...]]:
    agents = yield from attention.candidates()
    return tuple(
        agent
        for agent in agents
        if status in (None, agent.status)
        and agent_type in (None, agent.agent_type)
        and task_id in (None, agent.task_id)
    )


def _document(
    listed: Sequence[AgentState], found: dict[str, Need], next_cursor: str | None
) -> dict[str, object]:
    needs = {
        agent.agent_id: {"why": need.why, "command": need.command}
        for agent in listed
        if (need := found.get(agent.agent_id))
    }
    document: dict[str, object] = {"agents": [agent.wire() for agent in listed], "attention": needs}
    return document | ({"nextCursor": next_cursor} if next_cursor else {})


def _print(listed: Sequence[AgentState], found: dict[str, Need]) -> None:
    rows = [
        (
            _MARK if agent.agent_id in found else "",
            agent.agent_id,
            agent.status if agent.status in FINAL else agent.phase,
            agent.agent_type,
            elapsed(agent),
            str(agent.usage.total_tokens),
            agent.task_id,
        )
        for agent in listed
    ]
    screen = console()
    if screen is None:
        reported = [
            (need.why, need.command) if need else ("", "")
            for need in (found.get(agent.agent_id) for agent in listed)
        ]
        whole = [(*row, *words) for row, words in zip(rows, reported, strict=True)]
        print_table((*_HEADER, "WHY", "NEXT"), whole)
        return
    # Where the terminal is narrow, the ids and what they serve are what one came for.
    kept = [at for at, name in enumerate(_HEADER) if screen.width >= _WIDE or name not in _LESSER]
    styles = [STYLES[agent.status] for agent in listed]
    shown = [[row[at] for at in kept] for row in rows]
    print_table([_HEADER[at] for at in kept], shown, styles, at=2)
    urgent = [agent.agent_id for agent in listed if agent.agent_id in found]
    if urgent:
        say("")
    for name in urgent:
        why = one_line(found[name].why)
        room = max(screen.width - len(_MARK) - 1, 20)
        shortened = why if len(why) <= room else f"{why[: room - 1]}…"
        say(f"{_MARK} {shortened}\n    {found[name].command}")
