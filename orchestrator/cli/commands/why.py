"""`orch why`: why an agent waits, failed or was rejected, and the one command that helps."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.ids import agents_argument, each
from orchestrator.cli.output.render import json_option
from orchestrator.cli.output.text import one_line, say
from orchestrator.settings import Settings


@click.command()
@agents_argument()
@json_option
@click.pass_obj
def why(settings: Settings, agent_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Show why an agent waits, failed or was rejected, and the one command that helps.

    The JSON is that of GET /agents/{agentId}/why: {waitingFor?, placeInLine?, rank?, code, why,
    command}.
    """
    with open_client(settings) as client:
        each(client, agent_ids, lambda name: client.why(name).wire(), _show, as_json=as_json)


def _show(found: dict[str, Any]) -> None:
    say(one_line(found["why"]))
    say(found["command"])
