"""`orch logs`: prints the output of an agent, and follows it with -f."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import Client
from orchestrator.cli.ids import agents_argument, each, named, typed_ids
from orchestrator.cli.output.render import detaching, json_option, log_line, print_json
from orchestrator.cli.output.text import notify, plain, say
from orchestrator.cli.values import SINCE
from orchestrator.models import LogLine
from orchestrator.settings import Settings


class PatternType(click.ParamType[re.Pattern[str]]):
    """A regular expression of Python."""

    name = "pattern"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> re.Pattern[str]:
        """Compile the expression."""
        try:
            return re.compile(value)
        except re.error as error:
            return self.fail(f"{value!r} is no regular expression: {error}", param, ctx)


@click.command()
@agents_argument()
@click.option(
    "-f", "--follow", "is_following", is_flag=True, help="Follow the log until the agent ends."
)
@click.option(
    "-n", "--tail", "count", type=click.IntRange(0), metavar="N", help="Only the last N lines."
)
@click.option(
    "--since", type=SINCE, metavar="30m|TIME", help="Only lines from this long ago, or this time."
)
@click.option(
    "--grep", "pattern", type=PatternType(), metavar="PATTERN", help="Only lines that match."
)
@json_option
@click.pass_obj
def logs(
    settings: Settings,
    /,
    agent_ids: tuple[str, ...],
    *,
    is_following: bool,
    count: int | None,
    since: datetime | None,
    pattern: re.Pattern[str] | None,
    as_json: bool,
) -> None:
    """Print the log of an agent.

    On a terminal, long lines are truncated. Pipe the output to see them whole. -f follows one
    agent. A line before each log names its agent if several are given.
    """
    names = typed_ids(agent_ids)
    if is_following and len(names) > 1:
        msg = "-f follows one agent; `orch events -f` follows several."
        raise click.UsageError(msg)

    def is_wanted(line: LogLine) -> bool:
        # As it is shown: a colour in the middle of a word must not hide it.
        return pattern is None or pattern.search(plain(line.text)) is not None

    after = "" if since is None else f"{round(since.timestamp() * 1000)}-0"
    with open_client(settings, is_following=is_following) as client:
        if not is_following:
            _print_all(client, names, is_wanted, count, after, as_json=as_json)
            return
        agent_id = named(client, *names)
        # Read before the last lines: what comes between is printed once, by the follower.
        last = "".join(line.id for line in client.log_end(agent_id, 1))
        for line in _lines(client, agent_id, is_wanted, count, after):
            _print(line, as_json=as_json)
            last = line.id
        with detaching(lambda: f"orch logs -f {agent_id}"):
            _follow(client, agent_id, last, is_wanted, as_json=as_json)


def _lines(
    client: Client,
    agent_id: str,
    is_wanted: Callable[[LogLine], bool],
    count: int | None,
    after: str,
) -> Iterable[LogLine]:
    if count == 0:
        return ()
    if count is not None and not after:
        # Lines from the end, until enough of them match.
        size = count
        while True:
            end = client.log_end(agent_id, size)
            found = [line for line in end if is_wanted(line)]
            if len(found) >= count or len(end) < size:
                return found[-count:]
            size *= 4
    wanted = filter(is_wanted, client.log(agent_id, after=after))
    return wanted if count is None else deque(wanted, count)


def _print_all(
    client: Client,
    agent_ids: Sequence[str],
    is_wanted: Callable[[LogLine], bool],
    count: int | None,
    after: str,
    *,
    as_json: bool,
) -> None:
    def one(agent_id: str) -> dict[str, Any]:
        lines = _lines(client, agent_id, is_wanted, count, after)
        if as_json:
            return {"lines": [line.wire() for line in lines]}
        # Printed as they are read: a log may be long.
        return {"read": lines}

    def show(document: dict[str, Any]) -> None:
        for line in document["read"]:
            say(log_line(line))

    each(client, agent_ids, one, show, as_json=as_json, has_titles=True)


def _print(line: LogLine, *, as_json: bool) -> None:
    if as_json:
        print_json(line.wire())
    else:
        say(log_line(line))


def _follow(
    client: Client,
    agent_id: str,
    after: str,
    is_wanted: Callable[[LogLine], bool],
    *,
    as_json: bool,
) -> None:
    for seen in client.follow(agent_id, after=after):
        for line in filter(is_wanted, seen.lines):
            _print(line, as_json=as_json)
    notify(f"the agent has {seen.agent.status}: orch inspect {agent_id}")
