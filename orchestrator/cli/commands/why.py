"""`orch why`: why an agent waits, failed or was rejected, and the one command that helps."""

from __future__ import annotations

import click

from orchestrator.cli import open_store
from orchestrator.cli.commands.completion import agent_argument
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.text import one_line, say
from orchestrator.queries.explanations import explain_one
from orchestrator.settings import Settings
from orchestrator.wiring import clock


@click.command()
@agent_argument()
@json_option
@click.pass_obj
def why(settings: Settings, agent_id: str, *, as_json: bool) -> None:
    """Say why an agent waits, failed or was rejected, and the one command that helps.

    JSON is what HTTP answers with: {waitingFor?, placeInLine?, rank?, code, why, command}.
    """
    with open_store(settings) as store:
        found = store.follow(explain_one(agent_id, settings, clock()))
    if as_json:
        print_json(found.wire())
        return
    say(one_line(found.why))
    say(found.command)
