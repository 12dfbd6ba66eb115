"""`orch keys`: creates, lists and revokes API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from orchestrator import wiring
from orchestrator.cli import open_store
from orchestrator.cli.clients.who import who
from orchestrator.cli.commands.kill import why_option
from orchestrator.cli.output.render import DurationType, json_option, print_json
from orchestrator.cli.output.table import ID_WIDTH, Column, print_table
from orchestrator.cli.values import ChoiceType
from orchestrator.control.api_keys import read_keys
from orchestrator.models import KeyName, KeyScope
from orchestrator.settings import Settings

_MOST_DAYS = 3650
_COLUMNS = (
    Column("NAME", 0, least=ID_WIDTH),
    Column("SCOPES", 1),
    Column("CREATED", 4),
    Column("LAST USED", 3),
    Column("EXPIRES", 2),
)


def _name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        name: str = TypeAdapter(KeyName).validate_python(value)
    except ValidationError as error:
        msg = "must be up to 64 letters, digits and . _ -"
        raise click.BadParameter(msg) from error
    return name


class LifetimeType(DurationType):
    """How long a key is valid: up to ten years."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse a duration; refuse a longer one."""
        seconds = super().convert(value, param, ctx)
        if seconds > _MOST_DAYS * 86_400:
            self.fail(f"must be at most {_MOST_DAYS}d", param, ctx)
        return seconds


@click.group()
def keys() -> None:
    """Create, list and revoke API keys. The audit records each key by its name."""


@keys.command()
@click.option(
    "--name", required=True, callback=_name, help="The name of the key. The audit records it."
)
@click.option(
    "--scope",
    "scopes",
    type=ChoiceType(KeyScope),
    multiple=True,
    required=True,
    help="What the key may do. Repeatable: no scope implies another.",
)
@click.option(
    "--expires",
    "expires_s",
    type=LifetimeType(),
    help="The key expires after this, such as 90d.",
)
@json_option
@click.pass_obj
def add(
    settings: Settings,
    *,
    name: str,
    scopes: tuple[KeyScope, ...],
    expires_s: float | None,
    as_json: bool,
) -> None:
    """Create a key and print it once. Only its digest is stored."""
    expires_at = None if expires_s is None else wiring.clock() + timedelta(seconds=expires_s)
    with open_store(settings) as store:
        flow = wiring.api_keys(settings).add(name, scopes, by=who(), expires_at=expires_at)
        token = store.follow(flow)
    if as_json:
        print_json({"name": name, "key": token})
    else:
        click.echo(token)
        click.echo("orch: keep it now, it cannot be shown again", err=True)


@keys.command()
@json_option
@click.pass_obj
def ls(settings: Settings, *, as_json: bool) -> None:
    """List the keys in Valkey. The key in ORCHESTRATOR_API_KEY is not listed."""
    with open_store(settings) as store:
        found = store.follow(read_keys())
    if as_json:
        print_json({"keys": [key.wire() for key in found]})
        return
    rows = [
        (
            key.name,
            ",".join(key.scopes),
            *(
                f"{instant.astimezone():%Y-%m-%d %H:%M}" if instant else "-"
                for instant in (key.created_at, key.last_used_at, key.expires_at)
            ),
        )
        for key in found
    ]
    print_table(_COLUMNS, rows)


@keys.command()
@click.argument("name")
@why_option
@json_option
@click.pass_obj
def revoke(settings: Settings, name: str, *, why: str, as_json: bool) -> None:
    """Revoke a key. The API refuses it from the next request on."""
    with open_store(settings) as store:
        store.follow(wiring.api_keys(settings).revoke(name, by=who(), why=why))
    if as_json:
        print_json({"name": name, "revoked": True})
    else:
        click.echo(f"Key {name} revoked")
