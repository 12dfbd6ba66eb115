"""Shared output of commands: safe text, fields, JSON, and following an agent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output.error_report import AS_JSON
from orchestrator.cli.output.text import is_terminal, notify, one_line, plain, say
from orchestrator.models import AgentState, LogLine, NotJudged, Status
from orchestrator.models.state_machine import FINAL
from orchestrator.settings import parse_duration
from orchestrator.wiring import clock

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "STYLES",
    "DurationType",
    "console",
    "detaching",
    "elapsed",
    "json_option",
    "log_line",
    "plain",
    "print_fields",
    "print_json",
]

STYLES = {
    Status.SPAWNING: "cyan",
    Status.RUNNING: "yellow",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.KILLED: "magenta",
}


def _remember(ctx: click.Context, _option: click.Parameter, value: bool) -> bool:  # noqa: FBT001
    ctx.meta[AS_JSON] = value
    return value


#: Read before the other options: a refusal of their values is JSON too.
json_option = click.option(
    "--json", "as_json", is_flag=True, is_eager=True, callback=_remember, help="Print JSON."
)


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


@contextmanager
def detaching(again: Callable[[], str]) -> Iterator[None]:
    """Report on Ctrl-C that only the follower ends, and print the command that continues."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)
        notify(f"detached; what you followed goes on: {again()}")
        raise


def log_line(line: LogLine) -> str:
    """Render a line of output; a line break inside it cannot imitate another line."""
    head = f"{line.at.astimezone():%H:%M:%S} {one_line(line.source):<6} "
    return head + line.text.replace("\n", "\n" + " " * len(head))


def shown_state(agent: AgentState) -> str:
    """Return the state of an agent that has ended, or the phase of one that has not."""
    return agent.status if agent.status in FINAL else agent.phase


def elapsed(agent: AgentState, now: datetime | None = None) -> str:
    """Render the age of an agent, or its duration once it has ended."""
    seconds = round(((agent.completed_at or now or clock()) - agent.spawned_at).total_seconds())
    return str(timedelta(seconds=max(seconds, 0)))


def print_json(document: object) -> None:
    """Print one JSON document on one line of ASCII without control characters."""
    click.echo(json.dumps(document).replace("\x7f", "\\u007f"))


def print_fields(document: dict[str, Any]) -> None:
    """Print a record as text: one line per field, nested fields by their path."""
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
    """Return a console for the stream; None if the stream is not a terminal."""
    if not is_terminal(err=err):
        return None
    from rich.console import Console  # noqa: PLC0415 - slow to load: a pipe needs none

    return Console(stderr=err, highlight=False, markup=False, emoji=False)


@contextmanager
def waiting_line() -> Iterator[Callable[[str], None]]:
    """Yield what shows a text and the seconds of a wait on a terminal; nothing on anything else."""
    screen = console(err=True)
    if screen is None:
        yield lambda _text: None
        return
    begun_s = time.monotonic()
    with screen.status("") as line:
        yield lambda text: line.update(f"{text}  {time.monotonic() - begun_s:.0f} s")


def not_judged_line(entry: NotJudged) -> str:
    """Return one line about a path that no gate checks."""
    gate = f" ({entry.gate})" if entry.gate else ""
    return f"{entry.path or 'the root'}{gate}: {entry.reason}"
