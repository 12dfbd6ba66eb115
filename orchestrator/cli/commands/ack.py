"""`orch ack`: acknowledges that agents need attention, so that they are listed no more."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.commands.kill import why_option
from orchestrator.cli.ids import agents_argument, each
from orchestrator.cli.output.render import DurationType, json_option
from orchestrator.cli.output.text import say
from orchestrator.settings import Settings


@click.command()
@agents_argument()
@click.option(
    "--for", "for_s", type=DurationType(), help="Only for this long. Default: until retention ends."
)
@click.option("--undo", "is_undone", is_flag=True, help="Withdraw the acknowledgement.")
@why_option
@json_option
@click.pass_obj
def ack(
    settings: Settings,
    agent_ids: tuple[str, ...],
    *,
    for_s: float | None,
    is_undone: bool,
    why: str,
    as_json: bool,
) -> None:
    """Acknowledge that agents need attention: `orch ls --attention` lists them no more.

    An agent is listed again if it needs attention for another reason, or after --for. `-` reads ids
    from standard input: `orch ls --attention --code push_refused --ids | orch ack -`. A kill that
    is not confirmed cannot be acknowledged.
    """
    if is_undone and for_s is not None:
        msg = "--for does not go with --undo."
        raise click.UsageError(msg)
    with open_client(settings) as client:

        def one(agent_id: str) -> dict[str, Any]:
            if is_undone:
                client.withdraw_acknowledgement(agent_id, why)
                return {"agentId": agent_id, "acknowledged": False}
            client.acknowledge(agent_id, why, for_s=for_s)
            return {"agentId": agent_id, "acknowledged": True}

        each(client, agent_ids, one, _show, as_json=as_json)


def _show(done: dict[str, Any]) -> None:
    verb = "acknowledged" if done["acknowledged"] else "no longer acknowledged"
    say(f"Agent {done['agentId']} {verb}")
