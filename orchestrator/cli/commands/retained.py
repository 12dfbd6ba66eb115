"""`orch diff`, `export` and `retry`: use the retained change of an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.cli import open_store
from orchestrator.cli.clients import open_client
from orchestrator.cli.commands.completion import agent_argument
from orchestrator.cli.commands.kill import why_option
from orchestrator.cli.ids import agents_argument, each
from orchestrator.cli.output.render import json_option
from orchestrator.cli.output.text import notify, revealed, say
from orchestrator.errors import ChangeMissing, ChangeRefused, ChangeTooLarge
from orchestrator.models import Status
from orchestrator.queries.agent_list import full_id
from orchestrator.queries.changes import (
    export_ref,
    read_bundle,
    read_patch,
    received,
    retained_refs,
)
from orchestrator.queries.set_aside import ARCHIVE, BUNDLE, export_set_aside
from orchestrator.settings import Settings
from orchestrator.store import agents

_ref_option = click.option(
    "--ref", default="", help="A branch, stash or worktree outside the change."
)


_SUFFIXES = {
    BUNDLE: (".bundle",),
    "patch": (".patch", ".diff"),
    ARCHIVE: (".tar.gz", ".tgz", ".tar"),
}
_CONTENTS = {
    BUNDLE: "a git bundle",
    "patch": "a patch",
    ARCHIVE: "an archive (tar, gzip)",
}
_USES = {
    BUNDLE: "a git bundle",
    ARCHIVE: "an archive: no bundle could be made of it; unpack it with `tar -xzf`",
}


@click.command()
@agent_argument()
@_ref_option
@click.pass_obj
def diff(settings: Settings, agent_id: str, *, ref: str) -> None:
    """Print the retained change of an agent as a patch, and name the commits outside it."""
    with open_store(settings) as store:
        agent_id = store.follow(full_id(agent_id))
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
    Work that could not be stored is written too, on the host that has it: `notSaved` in the state
    names that host. If no bundle could be made of it, it is an archive for `tar -xzf`. A name with
    the suffix of another format is refused.
    """
    with open_store(settings) as store:
        agent_id = store.follow(full_id(agent_id))
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
            try:
                content = read_bundle(store, agent_id)
            except ChangeMissing:
                if _export_set_aside(settings, agent_id, output):
                    return
                raise
        beside = () if ref else retained_refs(store, agent_id)
    target = _file(output, agent_id, "patch" if as_patch else BUNDLE)
    target.write_bytes(content)
    notify(f"{target}: {len(content)} bytes")
    if not ref:
        _export_set_aside(settings, agent_id, None)
    for one in beside:
        notify(
            f"outside the change: {one.name} ({one.kind}):"
            f" orch export {agent_id} --ref '{one.name}'"
        )


def _file(output: Path | None, stem: str, form: str) -> Path:
    """Return the file for an export in this format.

    Raises:
        click.UsageError: the name has the suffix of another format.
    """
    if output is None:
        return Path(f"{stem}.{form}")
    for other, suffixes in _SUFFIXES.items():
        if other != form and output.name.lower().endswith(suffixes):
            why = "No bundle could be made of the work. " if form == ARCHIVE else ""
            msg = (
                f"{output} would contain {_CONTENTS[form]}, not {_CONTENTS[other]}. {why}Nothing"
                f" was written. Name a file that ends with {_SUFFIXES[form][0]}."
            )
            raise click.UsageError(msg)
    return output


def _export_set_aside(settings: Settings, agent_id: str, output: Path | None) -> int:
    """Write the work that this host set aside; returns the number of files."""
    number = 0

    def file_of(attempt: int, form: str) -> Path:
        # Only the first file gets the name.
        named = None if number else output
        return _file(named, f"{agent_id}.attempt-{attempt}", form)

    for file, form, remark in export_set_aside(settings, agent_id, file_of):
        number += 1
        size = file.stat().st_size
        notify(f"{file}: {size} bytes of work that could not be stored ({_USES[form]})")
        if remark:
            notify(f"not all of it could be read: {remark}")
    return number


@click.command()
@agents_argument()
@click.option("--afresh", is_flag=True, help="Start from the branch, without the retained change.")
@click.option(
    "--may-edit",
    multiple=True,
    metavar="GLOB",
    help="Files of tests or checks that the work may edit: findings there do not block.",
)
@why_option
@json_option
@click.pass_obj
def retry(
    settings: Settings,
    agent_ids: tuple[str, ...],
    *,
    afresh: bool,
    may_edit: tuple[str, ...],
    why: str,
    as_json: bool,
) -> None:
    """Spawn a new agent from the same request. It continues from the retained change.

    `-` reads ids from standard input: `orch ls --code push_failed --ids | orch retry -`. The JSON
    of several is {"agents": [{agentId, retriedAs, status}, ...]}.
    """
    with open_client(settings) as client:

        def one(agent_id: str) -> dict[str, Any]:
            new_id = client.retry(agent_id, is_afresh=afresh, may_edit=may_edit, why=why)
            return {"agentId": new_id, "status": Status.SPAWNING}

        each(client, agent_ids, one, lambda done: say(done["agentId"]), as_json=as_json)
