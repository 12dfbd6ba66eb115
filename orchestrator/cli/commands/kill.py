"""Kills: one agent or many; halt and resume; and the receipts of kills."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import KillOptions
from orchestrator.cli.ids import agents_argument, each
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.cli.output.render import DurationType, json_option, print_fields, print_json
from orchestrator.cli.output.text import notify, say
from orchestrator.cli.values import GIVEN, REPOSITORY, ChoiceType
from orchestrator.control.kill_switch import TIMEOUT_S
from orchestrator.errors import StoreRefused, StoreUnreachable, SystemNotRunning
from orchestrator.models import AgentType, KillScope
from orchestrator.settings import Settings

#: What still works when Valkey does not answer.
_WITHOUT_VALKEY = "without Valkey, `orch kill-all --local` ends what runs on this host"

why_option = click.option("--why", "--reason", "why", default="", help="The reason, for the audit.")
discard_option = click.option("--discard", is_flag=True, help="Do not retain the change.")
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=DurationType(),
    default=f"{TIMEOUT_S:g}s",
    show_default=True,
    help="How long to wait for the confirmation.",
)


@click.command()
@agents_argument(is_active=True)
@why_option
@discard_option
@timeout_option
@json_option
@click.pass_obj
def kill(
    settings: Settings,
    agent_ids: tuple[str, ...],
    *,
    why: str,
    discard: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Kill agents, and wait until all their processes have ended.

    `-` reads ids from standard input: `orch ls --status running --ids | orch kill -`.
    """
    options = KillOptions(why, discard, timeout_s)
    with open_client(settings, is_following=True) as client:

        def one(agent_id: str) -> dict[str, Any]:
            with _goes_on(f"orch receipt {agent_id}"):
                client.kill(agent_id, options)
            return {"message": f"Agent {agent_id} killed successfully"}

        each(client, agent_ids, one, lambda done: say(done["message"]), as_json=as_json)


@click.command("kill-all")
@click.option("--task", "task_id", type=GIVEN, metavar="ID", help="Only agents of this task.")
@click.option(
    "--repo",
    "repository",
    type=REPOSITORY,
    metavar="URL",
    help="Only agents on this repository.",
)
@click.option("--worker", type=GIVEN, metavar="NAME", help="Only agents that this worker runs.")
@click.option(
    "--type",
    "agent_type",
    type=ChoiceType(AgentType),
    help="Only agents of this type.",
)
@click.option("--halt", "is_halting", is_flag=True, help="Admit no new agents until `orch resume`.")
@click.option(
    "--local", "is_local", is_flag=True, help="Kill the agents of this host without Valkey."
)
@click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask for confirmation.")
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
    is_sure: bool,
    why: str,
    discard: bool,
    timeout_s: float,
    as_json: bool,
    **scope: Any,
) -> None:
    """Kill all agents, or those that match, and wait until all their processes have ended.

    On a terminal it shows the number of agents and asks first, unless --yes is given. The exit code
    is 1 if a kill is not confirmed. The output names each of these agents.
    """
    settings: Settings = ctx.obj
    is_sure = is_sure or not sys.stdin.isatty()
    if is_local:
        if not is_sure:
            _ask("Kill every agent on this host?")
        _kill_local(ctx, timeout_s, as_json=as_json)
        return
    options = KillOptions(why, discard, timeout_s)
    try:
        with open_client(settings, is_following=True, hint=_WITHOUT_VALKEY) as client:
            wanted = KillScope(**scope)
            if not is_sure:
                count = client.targets(wanted)
                number = "all matching" if count is None else count
                _ask(f"Kill {number} agents ({wanted.shown})?")
            if is_halting:
                client.halt(why)
            with _goes_on("orch ls --attention"):
                report = client.kill_all(wanted, options)
    except (StoreUnreachable, StoreRefused, SystemNotRunning) as error:
        if as_json:
            action = f"{error.what_to_do} Until then, {_WITHOUT_VALKEY}."
            raise type(error)(error.detail, action=action) from error
        notify(_WITHOUT_VALKEY)
        raise
    if as_json:
        # All fields, also empty ones: a script reads the list of errors.
        print_json(report.model_dump(mode="json", by_alias=True))
    else:
        say(report.message)
        for error_line in report.errors:
            say(error_line, err=True)
    if report.failed:
        ctx.exit(Exit.FAILED)


def _ask(question: str) -> None:
    # On standard error: standard output carries only the result.
    if not click.confirm(question, err=True):
        notify("nothing was killed")
        click.get_current_context().exit(Exit.FAILED)


@contextmanager
def _goes_on(look: str) -> Iterator[None]:
    """Report on Ctrl-C that the kill continues: only the wait for its confirmation ends."""
    try:
        yield
    except KeyboardInterrupt:
        notify(f"the order stands, whether all is dead is not seen: {look}")
        raise


def _kill_local(ctx: click.Context, timeout_s: float, *, as_json: bool) -> None:
    settings: Settings = ctx.obj
    from orchestrator.host.tree_records import TreeRecords  # noqa: PLC0415 - as below
    from orchestrator.wiring.host import host  # noqa: PLC0415 - git and the sandboxes: slow to load

    ended, survivors = host(settings).end_all(within_s=timeout_s)
    unproven = sorted(TreeRecords(settings.home).agents())
    errors = [f"pid {pid} is still there." for pid in survivors]
    errors += [f"{name}: its end is unproven: a supervisor was killed." for name in unproven]
    message = f"Kill all on this host completed: {len(ended)} agents, {len(survivors)} survivors"
    if as_json:
        print_json({
            "message": message, "agents": sorted(ended), "survivors": survivors,
            "unproven": unproven, "errors": errors,
        })  # fmt: skip
    else:
        say(message)
        for line in errors:
            say(line, err=True)
    if errors:
        ctx.exit(Exit.FAILED)


@click.command()
@why_option
@json_option
@click.pass_obj
def halt(settings: Settings, *, why: str, as_json: bool) -> None:
    """Admit and start no new agents until `orch resume`. Running agents continue."""
    with open_client(settings) as client:
        is_on_disk = client.halt(why)
    if as_json:
        print_json({"halted": True, "onDisk": is_on_disk})
        return
    say("Halted: nothing new is admitted until `orch resume --reason …`")
    if not is_on_disk:
        notify("Valkey keeps no append-only file: its restart lifts the halt")


@click.command()
@click.option("--reason", "why", required=True, help="The reason, for the audit.")
@json_option
@click.pass_obj
def resume(settings: Settings, *, why: str, as_json: bool) -> None:
    """Lift a halt. Agents that waited for it start."""
    with open_client(settings) as client:
        count = client.resume(why)
    if as_json:
        print_json({"halted": False, "waiting": count})
    else:
        say(f"Resumed: {count} agents had been waiting")


@click.command()
@agents_argument()
@json_option
@click.pass_obj
def receipt(settings: Settings, agent_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Show the receipt of a kill: its processes, its duration and who confirmed it."""
    with open_client(settings) as client:
        each(
            client,
            agent_ids,
            lambda name: client.receipt(name).shown(),
            print_fields,
            as_json=as_json,
        )
