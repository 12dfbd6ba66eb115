"""`orch context`: names addresses of the API with their keys, and chooses one of them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.cli.contexts import Context, Contexts, checked_key
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import Column, print_table
from orchestrator.cli.output.text import notify, say
from orchestrator.settings import Settings
from orchestrator.settings.access import check_api_url

_COLUMNS = (Column("", 0), Column("NAME", 0), Column("API", 1), Column("KEY", 2))


@click.group()
def context() -> None:
    """Name addresses of the HTTP API with their keys, and choose one.

    The first of these applies: --api, --context, ORCHESTRATOR_API_URL, ORCHESTRATOR_CONTEXT, the
    Valkey of the settings, the context in use. Commands about this host use none.
    """


@context.command()
@click.argument("name")
@click.argument("url")
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that contains the API key; it is read at each use.",
)
@click.option(
    "--key-stdin", is_flag=True, help="Read the API key from standard input, and store it."
)
@click.option("--replace", is_flag=True, help="Replace a context of this name.")
@json_option
@click.pass_obj
def add(
    settings: Settings,
    /,
    *,
    name: str,
    url: str,
    key_file: Path | None,
    key_stdin: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Store an address with its key. A key is no argument: others can read those."""
    if key_file is not None and key_stdin:
        msg = "--key-file does not go with --key-stdin."
        raise click.UsageError(msg)
    try:
        address = check_api_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="URL") from error
    key = checked_key(_typed(), "the standard input") if key_stdin else None
    made = Context(url=address, key=key, key_file=key_file and key_file.absolute())
    # A file that holds no key is refused now, and not in the night.
    made.api_key()
    Contexts(settings.home).add(name, made, is_replacing=replace)
    if as_json:
        print_json(_shown(name, made, is_current=Contexts(settings.home).current() == name))
    else:
        say(f"Context {name} stored")
        notify(f"use it once with: orch --context {name} ls; or always: orch context use {name}")


def _typed() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("API key", hide_input=True, err=True))
    return sys.stdin.read(65_536).strip()


@context.command()
@click.argument("name", required=False)
@click.option("--none", "is_none", is_flag=True, help="Use no context.")
@json_option
@click.pass_obj
def use(settings: Settings, /, *, name: str | None, is_none: bool, as_json: bool) -> None:
    """Use a context from now on, or none."""
    if (name is None) != is_none:
        msg = "Give a name, or --none."
        raise click.UsageError(msg)
    contexts = Contexts(settings.home)
    contexts.use(name)
    if as_json:
        print_json({"current": name})
    elif name is None:
        say("No context is used")
    else:
        say(f"Context {name} is used: {contexts.find(name).url}")
    if settings.api_url:
        notify("ORCHESTRATOR_API_URL is set, and applies instead")
    elif settings.context:
        notify("ORCHESTRATOR_CONTEXT is set, and applies instead")
    elif not settings.is_embedded:
        notify("the settings name a Valkey, which applies instead")


@context.command()
@json_option
@click.pass_obj
def ls(settings: Settings, /, *, as_json: bool) -> None:
    """List the contexts; `*` marks the one in use. Keys are not shown."""
    contexts = Contexts(settings.home)
    current, found = contexts.current(), contexts.all()
    if as_json:
        shown = [_shown(name, one, is_current=name == current) for name, one in found.items()]
        print_json({"contexts": shown})
        return
    rows = [
        ("*" if name == current else "", name, one.url, _key_of(one)) for name, one in found.items()
    ]
    print_table(_COLUMNS, rows)


@context.command()
@click.argument("name")
@json_option
@click.pass_obj
def rm(settings: Settings, /, *, name: str, as_json: bool) -> None:
    """Remove a context and its stored key. A key file stays."""
    Contexts(settings.home).remove(name)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        say(f"Context {name} removed")


def _key_of(one: Context) -> str:
    if one.key_file is not None:
        return f"in {one.key_file}"
    return "stored" if one.key else "none"


def _shown(name: str, one: Context, *, is_current: bool) -> dict[str, object]:
    return {"name": name, "url": one.url, "key": _key_of(one), "current": is_current}
