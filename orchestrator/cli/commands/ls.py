"""`orch ls`: lists agents, first those that need attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from orchestrator.cli import open_store
from orchestrator.cli.output.render import (
    STYLES,
    elapsed,
    json_option,
    print_json,
)
from orchestrator.cli.output.table import ID_WIDTH, Column, print_table
from orchestrator.cli.output.text import notify
from orchestrator.models import AgentState, AgentType, Status
from orchestrator.models.attention import Attention
from orchestrator.models.state_machine import FINAL
from orchestrator.queries import agent_list
from orchestrator.queries.agent_list import AgentPage
from orchestrator.queries.explanations import explain_agents, urgent
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

    The JSON is the page that GET /agents returns, newest first, plus `attention`: agentId → {rank,
    code, why, command}.
    """
    found: dict[str, Attention] = {}
    known: dict[str, AgentState] = {}
    page = AgentPage((), None)
    with open_store(settings) as store:
        if not is_urgent:
            page = store.follow(agent_list.page(**query, limit=limit, cursor=cursor))
            found = store.follow(explain_agents(page.agents, settings, clock()))
        # At any age; but JSON and a page after a cursor contain only that page.
        if is_urgent or not (as_json or cursor):
            pairs = store.follow(urgent(settings, clock(), **query))
            found |= {agent.agent_id: need for agent, need in pairs}
            known = {agent.agent_id: agent for agent, _ in pairs}
    known |= {agent.agent_id: agent for agent in page.agents}
    # The sort is stable: among equal ranks the newest stays first.
    first = sorted(
        (agent for name, agent in known.items() if name in found),
        key=lambda agent: found[agent.agent_id].rank or 0,
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


def _document(
    listed: Sequence[AgentState], found: dict[str, Attention], next_cursor: str | None
) -> dict[str, object]:
    needs = {agent.agent_id: need.wire() for agent in listed if (need := found.get(agent.agent_id))}
    document: dict[str, object] = {"agents": [agent.wire() for agent in listed], "attention": needs}
    return document | ({"nextCursor": next_cursor} if next_cursor else {})


def _print(listed: Sequence[AgentState], found: Mapping[str, Attention]) -> None:
    rows = []
    for agent in listed:
        need = found.get(agent.agent_id)
        rows.append(
            (
                _MARK if need else "",
                agent.agent_id,
                agent.status if agent.status in FINAL else agent.phase,
                agent.agent_type,
                elapsed(agent),
                str(agent.usage.total_tokens),
                agent.task_id,
                *((need.why, need.command) if need else ("", "")),
            )
        )
    print_table(_COLUMNS, rows, [STYLES[agent.status] for agent in listed], at=2)
