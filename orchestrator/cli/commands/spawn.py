"""`orch spawn`: sends a spawn request, and waits for the agent's end with --wait."""

from __future__ import annotations

from typing import Any

import click
from pydantic.alias_generators import to_camel

from orchestrator import wiring
from orchestrator.cli.clients import open_client
from orchestrator.cli.commands.wait import finish, wait_for_one
from orchestrator.cli.output.render import detaching, json_option, print_json
from orchestrator.cli.output.text import notify, say
from orchestrator.cli.values import FALLBACK, GIVEN, REPOSITORY, ChoiceType
from orchestrator.models import AgentType, GateProfile, Status
from orchestrator.settings import Settings


@click.command()
@click.option(
    "--repo", required=True, type=REPOSITORY, help="An https or ssh URL, or a local path."
)
@click.option("--branch", required=True, type=GIVEN, help="The branch to start from.")
@click.option(
    "--item", "items", required=True, multiple=True, type=GIVEN, help="A work item. Repeatable."
)
@click.option(
    "--type",
    "agent_type",
    type=ChoiceType(AgentType),
    default=AgentType.WORKER,
    help="The type of agent. Default: worker.",
)
@click.option("--skill", "skills", multiple=True, help="A skill to use. Repeatable.")
@click.option("--agent", help="The agent backend.")
@click.option("--model", type=GIVEN, help="The model; `orch models` lists them.")
@click.option("--effort", type=GIVEN, help="The effort of the model.")
@click.option(
    "--fallback",
    multiple=True,
    type=FALLBACK,
    metavar="AGENT[:MODEL]",
    help="Used while the provider is at its limit; :MODEL keeps the backend. Repeatable.",
)
@click.option(
    "--gate-profile",
    type=ChoiceType(GateProfile),
    help="The gates to pass.",
)
@click.option("--gate", "gates", multiple=True, help="A gate of the profile custom. Repeatable.")
@click.option(
    "--may-edit",
    multiple=True,
    metavar="GLOB",
    help="Files of tests or checks that the work may edit: findings there do not block.",
)
@click.option("--priority", type=int, help="1 to 10; 10 is the most urgent. Default: 5.")
@click.option(
    "--max-retries", type=int, help="How many rework rounds, and how many recoveries. Default: 3."
)
@click.option("--max-cost-usd", type=float, help="The most that the agent may cost, in dollars.")
@click.option("--task", "task_id", type=GIVEN, metavar="ID", help="The task of this agent.")
@click.option(
    "--idempotency-key",
    default="",
    metavar="KEY",
    help="A spawn with the same key returns the same agent.",
)
@click.option(
    "--wait", "is_waiting", is_flag=True, help="Wait for the end. Exit 0 if it completed."
)
@json_option
@click.pass_obj
def spawn(
    settings: Settings,
    /,
    *,
    task_id: str | None,
    idempotency_key: str,
    is_waiting: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Spawn an agent on a branch of a repository. Prints its id when the agent is stored."""
    document = _document(task_id or wiring.new_id(), **options)
    with open_client(settings, is_following=is_waiting) as client:
        agent_id = client.spawn(document, idempotency_key=idempotency_key)
        if is_waiting:
            with detaching(lambda: f"orch wait {agent_id}"):
                notify(f"spawned {agent_id}")
                agent = wait_for_one(client, agent_id, timeout_s=None)
            finish(agent, as_json=as_json)
        elif as_json:
            print_json({"agentId": agent_id, "status": Status.SPAWNING})
        else:
            say(agent_id)
            notify(f"follow it with: orch logs -f {agent_id}")


def _document(
    task_id: str,
    *,
    repo: str,
    branch: str,
    items: tuple[str, ...],
    skills: tuple[str, ...],
    **options: Any,
) -> dict[str, Any]:
    context = {"repository": repo, "branch": branch, "workItems": items, "skills": skills}
    given = {to_camel(name): value for name, value in options.items() if value not in (None, ())}
    return {"taskId": task_id, "context": context, **given}
