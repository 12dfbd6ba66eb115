"""Reading agents: their state, lists of them, their output and gate reports, once or following."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli import open_store
from orchestrator.lifecycle import agents, listing
from orchestrator.lifecycle.fsm import FINAL
from orchestrator.lifecycle.watching import Look, look
from orchestrator.models import AgentState, AgentType, LogLine, Status
from orchestrator.settings import Settings
from orchestrator.store import streams
from orchestrator.store.executors import Store
from orchestrator.wiring import clock

_STYLES = {
    Status.SPAWNING: "cyan",
    Status.RUNNING: "yellow",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.KILLED: "magenta",
}
# CSI and OSC sequences whole: without its ESC the rest of one would stay as litter.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def follow(store: Store, agent_id: str) -> Iterator[Look]:
    """Look at an agent whenever it speaks or moves, and each second, until it has ended."""
    seen: Look | None = None
    while seen is None or not seen.is_last:
        seen = store.follow(look(agent_id, seen))
        yield seen


def read_lines(store: Store, agent_id: str, *, after: str = "") -> Iterator[LogLine]:
    """Read every line of output there is after an id."""
    while lines := store.run(streams.read_log(agent_id, after=after)):
        yield from lines
        after = lines[-1].id


@contextmanager
def detaching(agent_id: str) -> Iterator[None]:
    """Say on Ctrl-C that only the follower ends."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\norch: detached; the agent goes on: orch wait {agent_id}", err=True)
        raise


def plain(text: str) -> str:
    """Take out of untrusted text what a terminal would obey; line breaks and tabs stay."""
    text = _SEQUENCE.sub("", text)
    return "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")


def log_line(line: LogLine) -> str:
    """Render a line of output; what follows a line break inside it cannot pass for another."""
    head = f"{line.at.astimezone():%H:%M:%S} {plain(line.source):<6} "
    return head + plain(line.text).replace("\n", "\n" + " " * len(head))


def elapsed(agent: AgentState) -> str:
    """Render how long an agent has lived, or lived."""
    seconds = round(((agent.completed_at or clock()) - agent.spawned_at).total_seconds())
    return str(timedelta(seconds=max(seconds, 0)))


def print_json(document: object) -> None:
    """Print one JSON document on one line."""
    click.echo(json.dumps(document))


def print_fields(document: dict[str, Any]) -> None:
    """Print a record for people: a line for each field, nested ones by their path."""
    fields = list(_flatten(document))
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        shown = value if isinstance(value, str) else json.dumps(value)
        indented = plain(shown).replace("\n", "\n" + " " * (width + 2))
        click.echo(f"{name:<{width}}  {indented}")


def _flatten(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


@click.command()
@click.argument("agent_id", metavar="ID")
@json_option
@click.pass_obj
def status(settings: Settings, agent_id: str, *, as_json: bool) -> None:
    """Show the state of an agent."""
    with open_store(settings) as store:
        document = store.run(agents.read(agent_id)).wire()
    (print_json if as_json else print_fields)(document)


@click.command()
@click.option(
    "--status", type=click.Choice(Status, case_sensitive=False), help="Only agents in this state."
)
@click.option(
    "--type",
    "agent_type",
    type=click.Choice(AgentType, case_sensitive=False),
    help="Only of this type.",
)
@click.option("--task", "task_id", metavar="ID", help="Only agents that served this task.")
@click.option("--limit", type=click.IntRange(1, listing.MAX_LIMIT), default=50, show_default=True)
@click.option("--cursor", default="", metavar="ID", help="Go on behind this agent.")
@json_option
@click.pass_obj
def ls(settings: Settings, /, *, as_json: bool, **query: Any) -> None:
    """List agents, newest first."""
    with open_store(settings) as store:
        page = store.follow(listing.page(**query))
    if as_json:
        document: dict[str, object] = {"agents": [agent.wire() for agent in page.agents]}
        if page.next_cursor:
            document["nextCursor"] = page.next_cursor
        print_json(document)
        return
    _print_table(page.agents)
    if page.next_cursor:
        click.echo(f"orch: there are more: --cursor {page.next_cursor}", err=True)


def _print_table(listed: Sequence[AgentState]) -> None:
    header = ("AGENT", "STATE", "TYPE", "TIME", "TOKENS", "TASK")
    rows = [
        (
            agent.agent_id,
            agent.status if agent.status in FINAL else agent.phase,
            agent.agent_type,
            elapsed(agent),
            str(agent.usage.total_tokens),
            plain(agent.task_id),
        )
        for agent in listed
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    console = Console()
    if not console.is_terminal:
        for row in (header, *rows):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo("  ".join(padded).rstrip())
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, width in zip(header, widths, strict=True):
        # Where the terminal is narrow the task's name gives way.
        table.add_column(name, no_wrap=True, min_width=0 if name == "TASK" else width)
    for agent, row in zip(listed, rows, strict=True):
        cells = [Text(cell) for cell in row]
        cells[1].stylize(_STYLES[agent.status])
        table.add_row(*cells)
    console.print(table)


@click.command()
@click.argument("agent_id", metavar="ID")
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on until the agent ends.")
@json_option
@click.pass_obj
def logs(settings: Settings, agent_id: str, *, is_following: bool, as_json: bool) -> None:
    """Print what an agent said."""
    with open_store(settings) as store:
        if is_following:
            _follow_log(store, agent_id, as_json=as_json)
            return
        store.run(agents.read(agent_id))
        lines = read_lines(store, agent_id)
        if as_json:
            print_json({"lines": [line.wire() for line in lines]})
            return
        for line in lines:
            click.echo(log_line(line))


def _follow_log(store: Store, agent_id: str, *, as_json: bool) -> None:
    with detaching(agent_id):
        for seen in follow(store, agent_id):
            for line in seen.lines:
                click.echo(json.dumps(line.wire()) if as_json else log_line(line))
    click.echo(f"orch: the agent has {seen.agent.status}", err=True)
