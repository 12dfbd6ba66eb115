"""`orch top`: the fleet on one screen, until a key ends it."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import AgentFilter, Client, all_pages
from orchestrator.cli.output.render import DurationType, json_option, print_json
from orchestrator.cli.output.text import has_colours, is_terminal, say
from orchestrator.cli.output.top_text import Screen, top_lines
from orchestrator.errors import ApiUnreachable, StoreUnreachable
from orchestrator.models import AgentState, Status
from orchestrator.settings import Settings
from orchestrator.wiring import clock

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_PIPE_SIZE = (120, 60)


@click.command()
@click.option(
    "--every", type=DurationType(), default="2s", show_default=True, help="How often to look."
)
@json_option
@click.pass_obj
def top(settings: Settings, *, every: float, as_json: bool) -> None:
    """Show the budget, the queues and the active agents on one screen, until q or Ctrl-C.

    Agents that need attention are first, with the reason. In a pipe, and with --json, it prints one
    screen and ends. The JSON is {budget, queues, counts, agents, attention}.
    """
    is_live = is_terminal() and sys.stdin.isatty() and not as_json
    with open_client(settings, is_following=is_live) as client:
        if as_json:
            print_json(_document(_read(client, has_all=True)))
        elif is_live:
            _show_until_quit(lambda: _read(client), every)
        else:
            for line in top_lines(_read(client), *_PIPE_SIZE):
                say(click.unstyle(line))


def _read(client: Client, *, has_all: bool = False) -> Screen:
    """Read one screen: every active agent, or those that a screen can show and their number."""
    counts = client.counts()
    urgent = client.urgent(AgentFilter())
    attention = {agent.agent_id: need for agent, need in urgent}
    # A dictionary keeps the first place of an agent that is found again.
    agents: dict[str, AgentState] = {agent.agent_id: agent for agent, _ in urgent}
    for status in (Status.RUNNING, Status.SPAWNING):
        pages = all_pages(client, AgentFilter(status=status))
        for page in pages if has_all else islice(pages, 1):
            agents |= {one.agent_id: one for one in page.agents}
    listed = tuple(agents.values())
    return Screen(clock(), client.budget(), client.queues(), listed, attention, counts)


def _document(screen: Screen) -> dict[str, object]:
    return {
        "budget": screen.budget.model_dump(mode="json", by_alias=True),
        "queues": [queue.wire() for queue in screen.queues],
        "counts": {str(status): count for status, count in screen.counts.items()},
        "agents": [agent.wire() for agent in screen.agents],
        "attention": {name: need.wire() for name, need in screen.attention.items()},
    }


def _show_until_quit(read: Callable[[], Screen], every_s: float) -> None:
    screen, away = read(), ""
    with _second_screen():
        while True:
            _draw(screen, away)
            if _is_quit(every_s):
                return
            try:
                screen, away = read(), ""
            except (StoreUnreachable, ApiUnreachable) as error:
                # What was seen last remains, with the reason.
                away = error.detail


def _draw(screen: Screen, away: str) -> None:
    lines = top_lines(screen, *shutil.get_terminal_size(), away=away)
    if not has_colours():
        lines = [click.unstyle(line) for line in lines]
    # The lines are overwritten in place, so that the screen does not flicker.
    body = f"{_CLEAR_LINE}\r\n".join(lines)
    click.echo(f"{_HOME}{body}{_CLEAR_LINE}{_CLEAR_REST}", nl=False)


def _is_quit(within_s: float) -> bool:
    ready, _, _ = select.select([sys.stdin], [], [], within_s)
    # An empty read is the end of a terminal that was closed.
    return bool(ready) and os.read(sys.stdin.fileno(), 1) in {b"q", b"Q", b"\x04", b""}


@contextmanager
def _second_screen() -> Iterator[None]:
    """Use the terminal's second screen without echo; leave it as it was, whatever happens."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        click.echo(_ENTER, nl=False)
        yield
    finally:
        click.echo(_LEAVE, nl=False)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
