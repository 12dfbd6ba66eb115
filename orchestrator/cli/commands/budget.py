"""`orch budget`: shows the usage of today, and changes a limit."""

from __future__ import annotations

from typing import get_args

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.commands.kill import why_option
from orchestrator.cli.output.render import json_option, print_json
from orchestrator.cli.output.table import ID_WIDTH, Column, print_table
from orchestrator.cli.values import ChoiceType
from orchestrator.control.budget import LimitName
from orchestrator.models import BudgetLimits, BudgetSummary
from orchestrator.settings import Settings

_COLUMNS = (
    Column("AGENT", 0, least=ID_WIDTH),
    Column("STATE", 2),
    Column("TODAY", 1, is_number=True),
    Column("COST", 2, is_number=True),
    Column("OF THE DAY", 3, is_number=True),
    Column("IN ALL", 4, is_number=True),
    Column("OF ITS LIMIT", 1, is_number=True),
    Column("TASK", 5),
)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def budget(ctx: click.Context, /, *, as_json: bool) -> None:
    """Show what each agent has used and reserved today (UTC), in tokens and dollars."""
    if ctx.invoked_subcommand is not None:
        return
    settings: Settings = ctx.obj
    with open_client(settings) as client:
        found = client.budget()
    if as_json:
        print_json(found.model_dump(mode="json", by_alias=True))
    else:
        _print(found)


@budget.command("set")
@click.argument("name", type=ChoiceType(get_args(LimitName)))
@click.argument("value")
@why_option
@json_option
@click.pass_obj
def set_(settings: Settings, name: LimitName, value: str, *, why: str, as_json: bool) -> None:
    """Change a limit of the whole fleet. It applies at once and survives restarts.

    daily and agent take tokens (5M, 200k), dailyUsd and agentUsd take dollars (20, 0.50),
    concurrency takes a number of agents, and time takes a duration (2h). mode takes hard (a limit
    stops agents) or soft (a limit is only reported).
    `default` restores the value of the settings.
    """
    with open_client(settings) as client:
        limits = client.set_limit(name, value, why)
    if as_json:
        print_json(limits.model_dump(mode="json", by_alias=True))
    else:
        click.echo(_line(limits))


def _print(found: BudgetSummary) -> None:
    click.echo(
        f"{found.day}  {found.status}  {found.used} of {found.limit} tokens ({found.percent} %),"
        f" {found.reserved} reserved, {_cost(found)}"
    )
    for name, spend in (
        ("delivered", found.delivered),
        ("in nothing", found.in_nothing),
        ("unfinished", found.unfinished),
    ):
        click.echo(
            f"{name:<11} {spend.agents} agents, {spend.tokens} tokens, ${spend.cost_usd:.2f}"
        )
    click.echo(f"{found.running} running, {found.waiting} waiting for a place")
    click.echo(_line(found.limits))
    rows = [
        (
            row.agent_id,
            row.status or "gone",
            str(row.tokens_today),
            "" if row.cost_usd_today is None else f"${row.cost_usd_today:.2f}",
            f"{row.percent_of_day} %",
            str(row.tokens),
            f"{row.percent} %",
            row.task_id or "",
        )
        for row in found.agents
    ]
    if rows:
        print_table(_COLUMNS, rows)


def _cost(found: BudgetSummary) -> str:
    limit = found.limits.daily_usd
    of = "" if limit is None else f" of ${limit:.2f} ({found.percent_usd} %)"
    return f"${found.cost_usd:.2f}{of}"


def _line(limits: BudgetLimits) -> str:
    day, each = (
        "" if dollars is None else f" and ${dollars:.2f}"
        for dollars in (limits.daily_usd, limits.agent_usd)
    )
    changed = f" (changed: {', '.join(limits.changed)})" if limits.changed else ""
    return (
        f"limits: {limits.mode}, {limits.daily_tokens} tokens{day} a day,"
        f" {limits.agent_tokens}{each} an agent, {limits.concurrency} agents at once,"
        f" {limits.time_s:.0f} s each{changed}"
    )
