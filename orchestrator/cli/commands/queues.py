"""`orch queues`: shows the queues; pauses and resumes one."""

from __future__ import annotations

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.commands.kill import why_option
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import Column, print_table
from orchestrator.models import QueueState
from orchestrator.settings import Settings

_COLUMNS = (
    Column("QUEUE", 0),
    Column("PENDING", 1, is_number=True),
    Column("ACTIVE", 2, is_number=True),
    Column("DELAYED", 4, is_number=True),
    Column("COMPLETED", 6, is_number=True),
    Column("FAILED", 5, is_number=True),
    Column("OLDEST", 3, is_number=True),
    Column("PAUSED BY", 0),
)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def queues(ctx: click.Context, *, as_json: bool) -> None:
    """Show the messages and agents of each queue, or pause and resume one."""
    if ctx.invoked_subcommand is not None:
        return
    with open_client(ctx.obj) as client:
        states = client.queues()
    if as_json:
        print_json({"queues": [state.wire() for state in states]})
        return
    print_table(_COLUMNS, [*map(_row, states)])


def _row(state: QueueState) -> tuple[str, ...]:
    counts = (state.pending, state.active, state.delayed, state.completed, state.failed)
    oldest = "-" if state.oldest_age_s is None else f"{state.oldest_age_s:.0f}s"
    return (
        state.name,
        *map(str, counts),
        oldest,
        state.pause.by if state.pause else "",
    )


@queues.command()
@click.argument("name")
@why_option
@json_option
@click.pass_obj
def pause(settings: Settings, name: str, *, why: str, as_json: bool) -> None:
    """Pause a queue. Active work finishes; no worker takes a message until it is resumed."""
    with open_client(settings) as client:
        client.pause_queue(name, why)
    _shown(name, is_paused=True, as_json=as_json)


@queues.command()
@click.argument("name")
@why_option
@json_option
@click.pass_obj
def resume(settings: Settings, name: str, *, why: str, as_json: bool) -> None:
    """Resume a queue."""
    with open_client(settings) as client:
        client.resume_queue(name, why)
    _shown(name, is_paused=False, as_json=as_json)


def _shown(name: str, *, is_paused: bool, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "isPaused": is_paused})
    else:
        click.echo(f"Queue {name} {'paused' if is_paused else 'resumed'}")
