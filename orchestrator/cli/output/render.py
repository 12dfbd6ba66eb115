"""What commands that read and print share: safe text, fields, JSON, tables, following an agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.output.text import is_terminal, notify, one_line, plain, say
from orchestrator.models import AgentState, LogLine, NotJudged, Status
from orchestrator.queries.follow import Snapshot, poll
from orchestrator.settings import parse_duration
from orchestrator.store import agent_logs
from orchestrator.store.client import Store
from orchestrator.wiring import clock

__all__ = [
    "STYLES",
    "DurationType",
    "console",
    "detaching",
    "elapsed",
    "follow",
    "json_option",
    "log_line",
    "plain",
    "print_fields",
    "print_json",
    "print_table",
    "read_lines",
]

STYLES = {
    Status.SPAWNING: "cyan",
    Status.RUNNING: "yellow",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.KILLED: "magenta",
}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class DurationType(click.ParamType[float]):
    """A positive duration such as 90s, 5m or 2h, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse a duration."""
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def follow(store: Store, agent_id: str) -> Iterator[Snapshot]:
    """Look at an agent whenever it speaks or moves, and each second, until it has ended."""
    seen: Snapshot | None = None
    while seen is None or not seen.is_last:
        seen = store.follow(poll(agent_id, seen))
        yield seen


def read_lines(store: Store, agent_id: str, *, after: str = "") -> Iterator[LogLine]:
    """Read every line of output there is after an id."""
    while lines := store.run(agent_logs.read_log(agent_id, after=after)):
        yield from lines
        after = lines[-1].id


@contextmanager
def detaching(again: Callable[[], str]) -> Iterator[None]:
    """Say on Ctrl-C that only the follower ends, and the command that goes on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)
        notify(f"detached; what you followed goes on: {again()}")
        raise


def log_line(line: LogLine) -> str:
    """Render a line of output; what follows a line break inside it cannot pass for another."""
    head = f"{line.at.astimezone():%H:%M:%S} {one_line(line.source):<6} "
    return head + line.text.replace("\n", "\n" + " " * len(head))


def elapsed(agent: AgentState) -> str:
    """Render how long an agent has lived, or lived."""
    seconds = round(((agent.completed_at or clock()) - agent.spawned_at).total_seconds())
    return str(timedelta(seconds=max(seconds, 0)))


def print_json(document: object) -> None:
    """Print one JSON document on one line; all of it is ASCII without controls."""
    click.echo(json.dumps(document).replace("\x7f", "\\u007f"))


def print_fields(document: dict[str, Any]) -> None:
    """Print a record for people: a line for each field, nested ones by their path."""
    for line in field_lines(document):
        say(line)


def field_lines(document: dict[str, Any]) -> list[str]:
    """Render a record as `print_fields` prints it."""
    fields = list(_flatten(document))
    width = max(len(name) for name, _ in fields)
    lines = []
    for name, value in fields:
        shown = value if isinstance(value, str) else json.dumps(value)
        lines.append(f"{name:<{width}}  " + shown.replace("\n", "\n" + " " * (width + 2)))
    return lines


def _flatten(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


def console(*, err: bool = False) -> Console | None:
    """Return what draws on the terminal there; None where the output is piped."""
    if not is_terminal(err=err):
        return None
    return Console(stderr=err, highlight=False, markup=False, emoji=False)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = (), *, at: int = 0
) -> None:
    """Print rows of untrusted text; on a terminal the last column gives way where it is narrow.

    Piped, every column is whole and every row one line. `styles` colours the cell `at` of each row.
    """
    safe = [[one_line(cell) or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *safe, strict=True)]
    screen = console()
    if screen is None:
        for row in (header, *safe):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            say("  ".join(padded).rstrip())
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, width in zip(header, widths, strict=True):
        table.add_column(name, no_wrap=True, min_width=0 if name == header[-1] else width)
    for number, row in enumerate(safe):
        # Text, because data must not be read as markup.
        cells = [Text(cell, overflow="ellipsis") for cell in row]
        if styles:
            cells[at].stylize(styles[number])
        table.add_row(*cells)
    screen.print(table)


def not_judged_line(entry: NotJudged) -> str:
    """Return one line on something that no gate judges."""
    gate = f" ({entry.gate})" if entry.gate else ""
    return f"{entry.path or 'the root'}{gate}: {entry.reason}"
