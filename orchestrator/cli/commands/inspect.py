"""`orch inspect`: prints all stored facts about one agent, and the next command to run."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import Inspection
from orchestrator.cli.commands.events import event_line
from orchestrator.cli.commands.gates import print_report
from orchestrator.cli.ids import agents_argument, each
from orchestrator.cli.output.render import json_option, log_line, print_fields
from orchestrator.cli.output.text import is_terminal, say
from orchestrator.models import Status
from orchestrator.settings import Settings

_LAST_LINES = 20


@click.command()
@agents_argument()
@json_option
@click.pass_obj
def inspect(settings: Settings, agent_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Show the state, timeline, gates and log of an agent, and the next command to run."""
    with open_client(settings) as client:
        found: dict[str, Inspection] = {}

        def one(agent_id: str) -> dict[str, Any]:
            found[agent_id] = client.inspect(agent_id, lines=_LAST_LINES)
            return _document(found[agent_id])

        each(
            client,
            agent_ids,
            one,
            lambda document: _print(found[document["agent"]["agentId"]]),
            as_json=as_json,
        )


def _document(found: Inspection) -> dict[str, Any]:
    return {
        "agent": found.agent.wire(),
        "request": found.request.wire(),
        "events": [event.wire() for event in found.events],
        "reports": [report.wire() for report in found.reports],
        "receipt": found.receipt.wire() if found.receipt else None,
        "log": [line.wire() for line in found.log],
        "attention": None if found.reason.rank is None else found.reason.why,
        "next": _next_command(found),
    }


def _next_command(found: Inspection) -> str:
    if found.reason.rank is not None:
        return found.reason.command
    agent, name = found.agent, found.agent.agent_id
    return {
        Status.SPAWNING: f"orch wait {name}",
        Status.RUNNING: f"orch logs -f {name}",
        Status.COMPLETED: f"git fetch {agent.repository} {agent.branch}"
        if agent.branch
        else f"orch export {name}",
        Status.FAILED: f"orch retry {name}",
        Status.KILLED: f"orch retry {name}",
    }[agent.status]


def _print(found: Inspection) -> None:
    _title("State")
    print_fields(found.agent.wire())
    _title("Asked for")
    for number, item in enumerate(found.request.context.work_items, 1):
        say(f"{number}. " + item.replace("\n", "\n   "))
    _title("Timeline")
    for event in found.events:
        say(event_line(event))
    if found.reports:
        _title("Gates")
        for report in found.reports:
            print_report(report)
    if found.receipt:
        _title("Kill")
        print_fields(found.receipt.wire())
    if found.log:
        _title(f"Last words (all: orch logs {found.agent.agent_id})")
        for line in found.log:
            say(log_line(line))
    _title("Next")
    if found.reason.rank is not None:
        say(f"! {found.reason.why}")
    say(_next_command(found))


def _title(text: str) -> None:
    say("")
    # The only decoration: bold text alone would be lost in a pipe.
    click.secho(text, bold=is_terminal()) if is_terminal() else say(text)
