"""`orch diff`, `export` and `retry`: use the retained change of an agent."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import Client
from orchestrator.cli.commands.kill import why_option
from orchestrator.cli.ids import agents_argument, each, typed_ids
from orchestrator.cli.output.error_report import coded
from orchestrator.cli.output.render import json_option
from orchestrator.cli.output.text import notify, revealed, say
from orchestrator.errors import ChangeMissing, ChangeRefused, ChangeTooLarge
from orchestrator.models import Status
from orchestrator.models.retained import Retained
from orchestrator.settings import Settings

_ref_option = click.option(
    "--ref", default="", help="A branch, stash or worktree outside the change."
)

#: The formats of an export, which are the suffixes of its files too.
_BUNDLE, _PATCH, _ARCHIVE = "bundle", "patch", "tar.gz"
_SUFFIXES = {
    _BUNDLE: (".bundle",),
    _PATCH: (".patch", ".diff"),
    _ARCHIVE: (".tar.gz", ".tgz", ".tar"),
}
_CONTENTS = {
    _BUNDLE: "a git bundle",
    _PATCH: "a patch",
    _ARCHIVE: "an archive (tar, gzip)",
}
_USES = {
    _BUNDLE: "a git bundle",
    _ARCHIVE: "an archive: no bundle could be made of it; unpack it with `tar -xzf`",
}


@click.command()
@agents_argument()
@_ref_option
@json_option
@click.pass_obj
def diff(settings: Settings, agent_ids: tuple[str, ...], *, ref: str, as_json: bool) -> None:
    """Print the retained change of an agent as a patch, and name the commits outside it.

    A line before each patch names its agent if several are given; `git apply` skips it. The JSON is
    {agentId, patch, outside: [{ref, kind, commit, subject}, ...]}.
    """
    with open_client(settings) as client:

        def one(agent_id: str) -> dict[str, Any]:
            patch = client.patch(agent_id, ref)
            outside = () if ref else client.retained(agent_id)
            return {"agentId": agent_id, "patch": patch, "outside": [it.wire() for it in outside]}

        def show(found: dict[str, Any]) -> None:
            say(revealed(found["patch"]), nl=False)
            _notify_outside("diff", found["agentId"], found["outside"])

        each(client, agent_ids, one, show, as_json=as_json, has_titles=True)


def _notify_outside(verb: str, agent_id: str, outside: Iterable[dict[str, Any]]) -> None:
    for found in outside:
        notify(outside_line(verb, agent_id, Retained.model_validate(found)))


def outside_line(verb: str, agent_id: str, one: Retained) -> str:
    """Return the line about a commit outside the change, with the command that uses it."""
    return (
        f"outside the change: {one.ref} ({one.kind}, {one.commit[:12]} {one.subject}):"
        f" orch {verb} {agent_id} --ref '{one.ref}'"
    )


@click.command()
@agents_argument()
@_ref_option
@click.option(
    "--patch", "as_patch", is_flag=True, help="Write a patch for `git apply`, not a bundle."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write."
)
@json_option
@click.pass_obj
def export(
    settings: Settings,
    agent_ids: tuple[str, ...],
    *,
    ref: str,
    as_patch: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write the retained change of an agent to a file: a git bundle, or a patch.

    To import a bundle into a clone, run `git fetch FILE 'refs/orchestrator/*:refs/retained/*'`.
    The bundle also holds the commits outside the change; with --ref, only that commit. If git
    refuses the change, no patch can be made of it, and the bundle is written as it is stored.
    Work that could not be stored is written too, on the host that has it: `notSaved` in the state
    names that host. If no bundle could be made of it, it is an archive for `tar -xzf`. A name with
    the suffix of another format is refused.

    The JSON is {agentId, files: [{file, format, bytes}, ...], outside: [{ref, kind, ...}, ...]}.
    """
    names = typed_ids(agent_ids)
    if output and len(names) > 1:
        msg = "-o names the file of one agent; without it each file is named after its agent."
        raise click.UsageError(msg)
    with open_client(settings) as client:

        def one(agent_id: str) -> dict[str, Any]:
            files = _export(settings, client, agent_id, ref, output, as_patch=as_patch)
            outside = () if ref else client.retained(agent_id)
            return {"agentId": agent_id, "files": files, "outside": [it.wire() for it in outside]}

        def show(done: dict[str, Any]) -> None:
            _notify_outside("export", done["agentId"], done["outside"])

        each(client, names, one, show, as_json=as_json)


def _export(
    settings: Settings,
    client: Client,
    agent_id: str,
    ref: str,
    output: Path | None,
    *,
    as_patch: bool,
) -> list[dict[str, Any]]:
    form = _PATCH if as_patch else _BUNDLE
    with TemporaryFile() as content:
        try:
            try:
                _receive(client.export(agent_id, ref=ref, as_patch=as_patch), content)
            except (ChangeRefused, ChangeTooLarge) as error:
                if ref or not as_patch:
                    raise
                why = coded(error)
                notify(f"no patch can be made of the change, so its bundle is written: {why}")
                form = _BUNDLE
                _receive(client.export(agent_id, ref="", as_patch=False), content)
        except ChangeMissing:
            # With an API, the work that no store took is on a host of the system.
            if ref or settings.api_url or not (files := _set_aside(settings, agent_id, output)):
                raise
            return files
        # Only what arrived whole is written.
        target = _file(output, agent_id, form)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
        written = {"file": str(target), "format": form, "bytes": content.tell()}
    notify(f"{target}: {written['bytes']} bytes")
    if ref or settings.api_url:
        return [written]
    return [written, *_set_aside(settings, agent_id, None)]


def _receive(parts: Iterable[bytes], content: IO[bytes]) -> None:
    content.seek(0)
    content.truncate()
    for part in parts:
        content.write(part)
    content.seek(0)


def _file(output: Path | None, stem: str, form: str) -> Path:
    """Return the file for an export in this format.

    Raises:
        click.UsageError: the name has the suffix of another format.
    """
    if output is None:
        return Path(f"{stem}.{form}")
    for other, suffixes in _SUFFIXES.items():
        if other != form and output.name.lower().endswith(suffixes):
            why = "No bundle could be made of the work. " if form == _ARCHIVE else ""
            msg = (
                f"{output} would contain {_CONTENTS[form]}, not {_CONTENTS[other]}. {why}Nothing"
                f" was written. Name a file that ends with {_SUFFIXES[form][0]}."
            )
            raise click.UsageError(msg)
    return output


def _set_aside(settings: Settings, agent_id: str, output: Path | None) -> list[dict[str, Any]]:
    """Write the work that this host set aside; returns the files."""
    from orchestrator.queries.set_aside import export_set_aside  # noqa: PLC0415 - git: slow to load

    files: list[dict[str, Any]] = []

    def file_of(attempt: int, form: str) -> Path:
        # Only the first file gets the name.
        named = None if files else output
        return _file(named, f"{agent_id}.attempt-{attempt}", form)

    for file, form, remark in export_set_aside(settings, agent_id, file_of):
        size = file.stat().st_size
        files.append({"file": str(file), "format": form, "bytes": size})
        notify(f"{file}: {size} bytes of work that could not be stored ({_USES[form]})")
        if remark:
            notify(f"not all of it could be read: {remark}")
    return files


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
