"""`orch diff`, `export` and `retry`: use the retained change of an agent."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli import open_store
from orchestrator.cli.commands.completion import agent_argument
from orchestrator.cli.commands.kill import who, why_option
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.text import notify, revealed, say
from orchestrator.errors import ChangeRefused, ChangeTooLarge
from orchestrator.models import Status
from orchestrator.queries.changes import (
    export_ref,
    read_bundle,
    read_patch,
    received,
    retained_refs,
)
from orchestrator.settings import Settings
from orchestrator.store import agents

_ref_option = click.option(
    "--ref", default="", help="A branch, stash or worktree outside the change."
)


@click.command()
@agent_argument()
@_ref_option
@click.pass_obj
def diff(settings: Settings, agent_id: str, *, ref: str) -> None:
    """Print the retained change of an agent as a patch, and name the commits outside it."""
    with open_store(settings) as store:
        say(revealed(read_patch(settings, store, agent_id, ref)), nl=False)
        if ref:
            return
        subjects = {one.ref: one.subject for one in store.run(agents.read(agent_id)).retained or ()}
        for one in retained_refs(store, agent_id):
            subject = subjects.get(one.name, "")
            notify(
                f"outside the change: {one.name} ({one.kind}, {one.commit[:12]} {subject}):"
                f" orch diff {agent_id} --ref '{one.name}'"
            )


@click.command()
@agent_argument()
@_ref_option
@click.option(
    "--patch", "as_patch", is_flag=True, help="Write a patch for `git apply`, not a bundle."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write."
)
@click.pass_obj
def export(
    settings: Settings, agent_id: str, *, ref: str, as_patch: bool, output: Path | None
) -> None:
    """Write the retained change of an agent to a file: a git bundle, or a patch.

    To import a bundle into a clone, run `git fetch FILE 'refs/orchestrator/*:refs/retained/*'`.
    The bundle also holds the commits outside the change; with --ref, only that commit. If git
    refuses the change, no patch can be made of it, and the bundle is written as it is stored.
    """
    with open_store(settings) as store:
        if ref:
            content = export_ref(settings, store, agent_id, ref, as_patch=as_patch)
        elif as_patch:
            try:
                with received(settings, store, agent_id) as (candidates, candidate, base):
                    content = candidates.whole_patch(candidate, base)
            except (ChangeRefused, ChangeTooLarge) as error:
                notify(
                    f"no patch can be made of the change, so the stored bundle is written: {error}"
                )
                content, as_patch = read_bundle(store, agent_id), False
        else:
            content = read_bundle(store, agent_id)
        beside = () if ref else retained_refs(store, agent_id)
    target = output or Path(f"{agent_id}.{'patch' if as_patch else 'bundle'}")
    target.write_bytes(content)
    notify(f"{target}: {len(content)} bytes")
    for one in beside:
        notify(
            f"outside the change: {one.name} ({one.kind}):"
            f" orch export {agent_id} --ref '{one.name}'"
        )


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
            agent_id, is_afresh=afresh, retain_s=settings.retention_s, by=who(), why=why
        )
        new_id = store.follow(flow).agent_id
    if as_json:
        print_json({"agentId": new_id, "status": Status.SPAWNING})
    else:
        say(new_id)
