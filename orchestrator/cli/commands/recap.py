"""`orch recap`: what the fleet delivered, rejected and spent since an instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import AgentFilter, Client, all_pages
from orchestrator.cli.output.recap_text import recap_page, recap_tables
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import print_table
from orchestrator.cli.output.text import say
from orchestrator.cli.values import SINCE
from orchestrator.errors import NotFound
from orchestrator.models import AgentState, Receipt, Status
from orchestrator.models.recap import Recap
from orchestrator.queries.recap import belongs
from orchestrator.queries.recap import recap as recap_of
from orchestrator.settings import Settings
from orchestrator.wiring import clock

_DEFAULT = timedelta(hours=12)


@click.command()
@click.option("--since", type=SINCE, metavar="12h|TIME", help="From then on. Default: 12h.")
@click.option("--html", "as_html", is_flag=True, help="Print a page for a browser.")
@json_option
@click.pass_obj
def recap(settings: Settings, *, since: datetime | None, as_html: bool, as_json: bool) -> None:
    """Show what agents delivered, and what they cost, since an instant.

    Counts the agents that ended since then, and those that have not ended: pushed changes, rejected
    changes, failures by code, tokens by repository, the longest waits, and kills with their proof.
    Tokens are those of an agent's whole life.
    """
    if as_html and as_json:
        msg = "--html does not go with --json."
        raise click.UsageError(msg)
    with open_client(settings) as client:
        found = _recap(client, since or clock() - _DEFAULT)
    if as_json:
        # Empty lists are values here: no kill is an answer.
        print_json(found.model_dump(mode="json", by_alias=True, exclude_none=True))
    elif as_html:
        click.echo(recap_page(found))
    else:
        for title, columns, rows in recap_tables(found):
            say(title)
            if rows:
                print_table(columns, rows)
            say("")


def _recap(client: Client, since: datetime) -> Recap:
    pages = all_pages(client, AgentFilter())
    agents = [agent for page in pages for agent in page.agents if belongs(agent, since)]
    return recap_of(
        agents,
        dict(_receipts(client, agents)),
        since=since,
        until=clock(),
        need_attention=len(client.urgent(AgentFilter())),
    )


def _receipts(client: Client, agents: list[AgentState]) -> Iterator[tuple[str, Receipt]]:
    for agent in agents:
        if agent.status is Status.KILLED:
            try:
                yield agent.agent_id, client.receipt(agent.agent_id)
            except NotFound:
                # Retention ended meanwhile; the recap says that there is none.
                continue
