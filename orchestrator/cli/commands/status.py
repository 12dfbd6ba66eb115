"""`orch status`: prints an agent's state, once or until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import Client
from orchestrator.cli.ids import agents_argument, each, named
from orchestrator.cli.output.render import (
    STYLES,
    console,
    detaching,
    elapsed,
    field_lines,
    json_option,
    print_fields,
    print_json,
)
from orchestrator.cli.output.text import one_line, plain, say
from orchestrator.models import AgentState, LogLine
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

_LAST_LINES = 5
#: A line may have megabytes; every screen is narrower than this.
_LINE = 2000
_WATCHED = {
    *("task_id", "agent_type", "agent", "model", "effort", "repository", "base_branch"),
    *("attempt", "worker"),
    *("stalled_since", "branch", "commit", "error"),
}


@click.command()
@agents_argument()
@click.option("--watch", is_flag=True, help="Show each change until the agent has ended.")
@json_option
@click.pass_obj
def status(settings: Settings, agent_ids: tuple[str, ...], *, watch: bool, as_json: bool) -> None:
    """Show the state of an agent.

    With --watch it updates the screen. If the output is piped, it prints one line for each change
    of the state, or with --json one document.
    """
    if watch and len(agent_ids) > 1:
        msg = "--watch follows one agent; `orch ls --watch` shows several."
        raise click.UsageError(msg)
    with open_client(settings) as client:
        if watch:
            agent_id = named(client, agent_ids[0])
            with detaching(lambda: f"orch status --watch {agent_id}"):
                _watch(client, agent_id, as_json=as_json)
            return
        each(client, agent_ids, lambda one: client.agent(one).wire(), print_fields, as_json=as_json)


def _watch(client: Client, agent_id: str, *, as_json: bool) -> None:
    screen = console()
    if as_json or screen is None:
        before: AgentState | None = None
        for look in client.follow(agent_id):
            if look.agent == before:
                continue
            before = look.agent
            if as_json:
                print_json(look.agent.wire())
            else:
                say(f"{elapsed(look.agent)}  {_brief(look.agent)}")
        return
    from rich.live import Live  # noqa: PLC0415 - slow to load: only a terminal that watches needs it

    last: list[LogLine] = []
    with Live(console=screen, auto_refresh=False) as live:
        for look in client.follow(agent_id):
            last = [*last, *look.lines][-_LAST_LINES:]
            live.update(_picture(look.agent, last), refresh=True)


def _brief(agent: AgentState) -> str:
    spent = f"{agent.status} ({agent.phase})  {agent.usage.total_tokens} tokens"
    return f"{spent}  {agent.error}" if agent.error else spent


def _picture(agent: AgentState, last: list[LogLine]) -> Text:
    """Draw the main fields; a screen has 24 lines, and the whole record has more."""
    from rich.text import Text  # noqa: PLC0415 - as above

    shown = agent.model_dump(mode="json", by_alias=True, include=_WATCHED, exclude_none=True)
    picture = Text(no_wrap=True, overflow="ellipsis")
    picture.append(f"{elapsed(agent)}  {agent.status} ({agent.phase})\n", STYLES[agent.status])
    for line in field_lines(shown):
        picture.append(f"{one_line(line)}\n" if "\n" in line else f"{plain(line)}\n")
    for said in last:
        picture.append(f"{one_line(said.text[:_LINE])}\n", "dim")
    picture.right_crop(1)
    return picture
