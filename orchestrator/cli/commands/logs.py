"""`orch logs`: prints the output of an agent, and follows it with -f."""

from __future__ import annotations

import click

from orchestrator.cli import open_store
from orchestrator.cli.commands.completion import agent_argument
from orchestrator.cli.output.render import (
    detaching,
    follow,
    json_option,
    log_line,
    print_json,
    read_lines,
)
from orchestrator.cli.output.text import notify, say
from orchestrator.settings import Settings
from orchestrator.store import agents
from orchestrator.store.client import Store


@click.command()
@agent_argument()
@click.option(
    "-f", "--follow", "is_following", is_flag=True, help="Follow the log until the agent ends."
)
@json_option
@click.pass_obj
def logs(settings: Settings, agent_id: str, *, is_following: bool, as_json: bool) -> None:
    """Print the log of an agent.

    On a terminal, long lines are truncated. Pipe the output to see them whole.
    """
    with open_store(settings, is_following=is_following) as store:
        if is_following:
            with detaching(lambda: f"orch logs -f {agent_id}"):
                _follow(store, agent_id, as_json=as_json)
            return
        store.run(agents.read(agent_id))
        lines = read_lines(store, agent_id)
        if as_json:
            print_json({"lines": [line.wire() for line in lines]})
            return
        for line in lines:
            say(log_line(line))


def _follow(store: Store, agent_id: str, *, as_json: bool) -> None:
    for seen in follow(store, agent_id):
        for line in seen.lines:
            if as_json:
                print_json(line.wire())
            else:
                say(log_line(line))
    notify(f"the agent has {seen.agent.status}: orch inspect {agent_id}")
