"""Stopping: kill one agent or many, halt and resume, and the receipts that prove it."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Any

import click

from orchestrator import wiring
from orchestrator.cli import open_store
from orchestrator.cli.read import json_option, plain, print_fields, print_json
from orchestrator.errors import StoreUnreachable, SystemNotRunning
from orchestrator.killswitch import TIMEOUT_S
from orchestrator.lifecycle import kills
from orchestrator.lifecycle.kills import KillOrder
from orchestrator.models import AgentType, KillScope
from orchestrator.settings import Settings

why_option = click.option("--why", "--reason", "why", default="", help="Stands in the audit.")
discard_option = click.option("--discard", is_flag=True, help="Do not save what was changed.")
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the proof.",
)


def who() -> str:
    """Return who calls this command, for the audit."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name.
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


@click.command()
@click.argument("agent_id", metavar="ID")
@why_option
@discard_option
@timeout_option
@json_option
@click.pass_obj
def kill(
    settings: Settings, agent_id: str, *, why: str, discard: bool, timeout_s: float, as_json: bool
) -> None:
    """Kill an agent, and wait until nothing of it runs."""
    order = KillOrder(who(), why, discard)
    with open_store(settings) as store:
        switch = wiring.kill_switch(settings)
        store.follow(switch.kill(agent_id, order, timeout_s=timeout_s))
    message = f"Agent {agent_id} killed successfully"
    if as_json:
        print_json({"message": message})
    else:
        click.echo(message)


@click.command("kill-all")
@click.option("--task", "task_id", metavar="ID", help="Only agents of this task.")
@click.option("--repo", "repository", metavar="URL", help="Only agents on this repository.")
@click.option("--worker", metavar="NAME", help="Only agents this worker holds.")
@click.option(
    "--type",
    "agent_type",
    type=click.Choice(AgentType, case_sensitive=False),
    help="Only of this type.",
)
@click.option("--halt", "is_halting", is_flag=True, help="Admit nothing new until `orch resume`.")
@click.option("--local", "is_local", is_flag=True, help="End this host's agents without Valkey.")
@why_option
@discard_option
@timeout_option
@json_option
@click.pass_context
def kill_all(
    ctx: click.Context,
    /,
    *,
    is_halting: bool,
    is_local: bool,
    why: str,
    discard: bool,
    timeout_s: float,
    as_json: bool,
    **scope: Any,
) -> None:
    """Kill every agent, or those of a scope, and wait until nothing of them runs.

    Exit code 1 if that is not confirmed of every one of them; each is named.
    """
    settings: Settings = ctx.obj
    if is_local:
        _kill_local(ctx, timeout_s, as_json=as_json)
        return
    order = KillOrder(who(), why, discard)
    switch = wiring.kill_switch(settings)
    try:
        with open_store(settings) as store:
            if is_halting:
                store.follow(switch.halt(order.by, why))
            report = store.follow(switch.kill_all(KillScope(**scope), order, timeout_s=timeout_s))
    except (StoreUnreachable, SystemNotRunning):
        click.echo("orch: without Valkey, --local ends what runs on this host", err=True)
        raise
    if as_json:
        # Every field: an empty list of errors is what a program looks for.
        print_json(report.model_dump(mode="json", by_alias=True))
    else:
        click.echo(report.message)
        for error_line in report.errors:
            click.echo(plain(error_line), err=True)
    if report.failed:
        ctx.exit(1)


def _kill_local(ctx: click.Context, timeout_s: float, *, as_json: bool) -> None:
    settings: Settings = ctx.obj
    ended, survivors = wiring.host(settings).end_all(within_s=timeout_s)
    errors = [f"pid {pid} is still there." for pid in survivors]
    message = f"Kill all on this host completed: {len(ended)} agents, {len(survivors)} survivors"
    if as_json:
        print_json({
            "message": message, "agents": sorted(ended), "survivors": survivors, "errors": errors,
        })  # fmt: skip
    else:
        click.echo(message)
        for line in errors:
            click.echo(line, err=True)
    if survivors:
        ctx.exit(1)


@click.command()
@why_option
@json_option
@click.pass_obj
def halt(settings: Settings, *, why: str, as_json: bool) -> None:
    """Admit and start nothing new until `orch resume`; what runs goes on."""
    with open_store(settings) as store:
        is_on_disk = store.follow(wiring.kill_switch(settings).halt(who(), why))
    if as_json:
        print_json({"halted": True, "onDisk": is_on_disk})
        return
    click.echo("Halted: nothing new is admitted until `orch resume --reason …`")
    if not is_on_disk:
        click.echo("orch: Valkey keeps no append-only file: its restart lifts the halt", err=True)


@click.command()
@click.option("--reason", "why", required=True, help="Stands in the audit.")
@json_option
@click.pass_obj
def resume(settings: Settings, *, why: str, as_json: bool) -> None:
    """Lift a halt; what waited for it goes on."""
    with open_store(settings) as store:
        count = store.follow(wiring.kill_switch(settings).resume(who(), why))
    if as_json:
        print_json({"halted": False, "waiting": count})
    else:
        click.echo(f"Resumed: {count} agents had been waiting")


@click.command()
@click.argument("agent_id", metavar="ID")
@json_option
@click.pass_obj
def receipt(settings: Settings, agent_id: str, *, as_json: bool) -> None:
    """Show what the kill of an agent did, and who saw it dead."""
    with open_store(settings) as store:
        found = store.run(kills.read_receipt(agent_id))
    document = found.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"clock_ms"})
    (print_json if as_json else print_fields)(document)
