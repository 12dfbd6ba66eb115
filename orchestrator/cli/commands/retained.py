"""Work that did not leave: look at it, take it out, or go on from it."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli import open_store
from orchestrator.cli.commands.completion import agent_argument
from orchestrator.cli.commands.kill import who, why_option
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.text import notify, revealed, say
from orchestrator.models import Status
from orchestrator.queries.changes import read_patch, received
from orchestrator.settings import Settings
from orchestrator.store import agents, changes


@click.command()
@agent_argument()
@click.pass_obj
def diff(settings: Settings, agent_id: str) -> None:
    """Print the retained change of an agent as a patch."""
    with open_store(settings) as store:
        say(revealed(read_patch(settings, store, agent_id)), nl=False)


@click.command()
@agent_argument()
@click.option(
    "--patch", "as_patch", is_flag=True, help="Write a patch for `git apply`, not a bundle."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write."
)
@click.pass_obj
def export(settings: Settings, agent_id: str, *, as_patch: bool, output: Path | None) -> None:
    """Write the retained change of an agent to a file: a git bundle, or a patch.

    To import a bundle into a clone, run `git fetch FILE refs/orchestrator/change`.
    """
    if as_patch:
        with (
            open_store(settings) as store,
            received(settings, store, agent_id) as (candidates, candidate, base),
        ):
            content = candidates.whole_patch(candidate, base)
    else:
        with open_store(settings) as store:
            agent = store.run(agents.read(agent_id))
            _, content = store.follow(changes.newest_change(agent_id, agent.attempt))
    target = output or Path(f"{agent_id}.{'patch' if as_patch else 'bundle'}")
    target.write_bytes(content)
    notify(f"{target}: {len(content)} bytes")


@click.command()
@agent_argument()
@click.option("--afresh", is_flag=True, help="Start from the branch, without the retained change.")
@why_option
@json_option
@click.pass_obj
def retry(settings: Settings, agent_id: str, *, afresh: bool, why: str, as_json: bool) -> None:
    """Spawn a new agent from the same request. It continues from the retained change."""
    with open_store(settings) as store:
        flow = wiring.submit_service(settings).retry(
            agent_id, is_afresh=afresh, kept_for_s=settings.retention_s, by=who(), why=why
        )
        new_id = store.follow(flow).agent_id
    if as_json:
        print_json({"agentId": new_id, "status": Status.SPAWNING})
    else:
        say(new_id)
