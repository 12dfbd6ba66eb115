"""`orch top`: the fleet on one screen, with keys that act on the selected agent."""

from __future__ import annotations

import sys
from itertools import islice

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import AgentFilter, Client, all_pages
from orchestrator.cli.deadline import answer_limit_s
from orchestrator.cli.output.render import DurationType, json_option, print_json
from orchestrator.cli.output.text import is_terminal, say
from orchestrator.cli.output.top_text import Screen, top_lines
from orchestrator.models import AgentState, Status
from orchestrator.settings import Settings
from orchestrator.wiring import clock

_PIPE_SIZE = (120, 60)


@click.command()
@click.option(
    "--every", type=DurationType(), default="2s", show_default=True, help="How often to look."
)
@json_option
@click.pass_obj
def top(settings: Settings, *, every: float, as_json: bool) -> None:
    """Show the budget, the queues and the active agents on one screen, until q or Ctrl-C.

    Agents that need attention are first, with the reason. Keys show the log, the change and the
    reason of the selected agent, kill, retry or acknowledge it, halt and resume; ? lists them, and
    / filters. They do what the commands of the same names do, also over --api.

    In a pipe, and with --json, it prints one
    screen and ends. The JSON is {budget, queues, counts, agents, attention}.
    """
    is_live = is_terminal() and sys.stdin.isatty() and not as_json
    with open_client(settings, is_following=is_live) as client:
        if as_json:
            print_json(_document(_read(client, has_all=True)))
        elif is_live:
            _show_until_quit(client, every)
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


def _show_until_quit(client: Client, every_s: float) -> None:
    from orchestrator.cli.top.app import TopApp  # noqa: PLC0415 - slow to load: a pipe needs none

    app = TopApp(client, lambda: _read(client), every_s=every_s, limit_s=answer_limit_s())
    if error := app.run():
        raise error
    if app.is_interrupted:
        raise KeyboardInterrupt
