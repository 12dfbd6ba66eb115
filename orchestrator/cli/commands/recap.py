"""`orch recap`: what the fleet delivered, rejected and spent since an instant."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import AgentFilter, Client, all_pages
from orchestrator.cli.output.recap_text import recap_page, recap_tables
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import print_table
from orchestrator.cli.output.text import say
from orchestrator.cli.values import SINCE
from orchestrator.models import AgentState, Receipt
from orchestrator.models.attention import examines_all
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
    agents: list[AgentState] = []
    receipts: dict[str, Receipt] = {}
    # With each page: a request for each kill would take longer than all pages.
    for page in all_pages(client, AgentFilter(), with_receipts=True):
        agents += [agent for agent in page.agents if belongs(agent, since)]
        receipts |= page.receipts
    return recap_of(
        agents,
        receipts,
        since=since,
        until=clock(),
        need_attention=len(client.urgent(AgentFilter())),
        need_attention_is_least=not examines_all(client.counts()),
    )
