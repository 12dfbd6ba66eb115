"""`orch wait`: waits for the end of agents, and exits with the code of their outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import Client
from orchestrator.cli.ids import agents_argument, every_id
from orchestrator.cli.output.exit_codes import exit_of_outcome
from orchestrator.cli.output.render import (
    DurationType,
    console,
    detaching,
    elapsed,
    json_option,
    print_fields,
    print_json,
)
from orchestrator.cli.output.table import ID_WIDTH, Column, print_table
from orchestrator.cli.output.text import one_line
from orchestrator.errors import WaitTimedOut
from orchestrator.models import AgentState, Outcome
from orchestrator.models.state_machine import FINAL
from orchestrator.queries.follow import Snapshot
from orchestrator.settings import Settings

_COLUMNS = (
    Column("AGENT", 0, least=ID_WIDTH),
    Column("STATE", 0),
    Column("BRANCH", 1),
    Column("ERROR", 2),
)


@click.command()
@agents_argument(is_active=True)
@click.option(
    "--timeout", "timeout_s", type=DurationType(), help="Stop waiting after this long, such as 30m."
)
@click.option("--any", "is_any", is_flag=True, help="Return when the first of them has ended.")
@json_option
@click.pass_obj
def wait(
    settings: Settings,
    agent_ids: tuple[str, ...],
    *,
    timeout_s: float | None,
    is_any: bool,
    as_json: bool,
) -> None:
    """Wait until agents have ended. The exit code is 0 if they completed.

    If several agents are given, the first of them that did not complete sets the exit code. The
    JSON is the outcome, or for several agents {"outcomes": [...]} of those that have ended.
    """
    following = open_client(settings, is_following=True)
    with following as client, detaching(lambda: f"orch wait {' '.join(agent_ids)}"):
        names = every_id(client, agent_ids)
        if len(names) == 1:
            finish(wait_for_one(client, names[0], timeout_s=timeout_s), as_json=as_json)
            return
        ended = _wait_for_many(client, names, is_any=is_any, timeout_s=timeout_s)
    _finish_many(ended, as_json=as_json)


def wait_for_one(client: Client, agent_id: str, *, timeout_s: float | None) -> AgentState:
    """Wait for the end of an agent; a terminal shows its phase and its last output.

    Raises:
        NotFound: there is no such agent.
        WaitTimedOut: the time is over; the agent continues.
    """
    is_late = _deadline(timeout_s)
    with _progress() as show:
        for look in client.follow(agent_id):
            show(look)
            if look.agent.status not in FINAL and is_late():
                raise _gave_up([look.agent])
    return look.agent


def finish(agent: AgentState, *, as_json: bool) -> None:
    """Print the outcome of an agent, and exit with its code."""
    outcome = Outcome.of(agent)
    document = outcome.model_dump(mode="json", by_alias=True)
    (print_json if as_json else print_fields)(document)
    click.get_current_context().exit(exit_of_outcome(outcome))


def _finish_many(ended: Sequence[AgentState], *, as_json: bool) -> None:
    outcomes = [Outcome.of(agent) for agent in ended]
    if as_json:
        documents = [outcome.model_dump(mode="json", by_alias=True) for outcome in outcomes]
        print_json({"outcomes": documents})
    else:
        rows = [(one.agent_id, one.status, one.branch or "", one.error or "") for one in outcomes]
        print_table(_COLUMNS, rows)
    codes = [code for outcome in outcomes if (code := exit_of_outcome(outcome))]
    click.get_current_context().exit(codes[0] if codes else 0)


def _wait_for_many(
    client: Client, agent_ids: Sequence[str], *, is_any: bool, timeout_s: float | None
) -> list[AgentState]:
    is_late = _deadline(timeout_s)
    while True:
        # Before the states are read: a later change ends the wait below.
        last = client.last_event_id()
        states = [client.agent(agent_id) for agent_id in agent_ids]
        ended = [agent for agent in states if agent.status in FINAL]
        if len(ended) == len(states) or (is_any and ended):
            return ended
        if is_late():
            raise _gave_up([agent for agent in states if agent.status not in FINAL])
        client.await_event(last)


def _deadline(timeout_s: float | None) -> Callable[[], bool]:
    give_up_s = None if timeout_s is None else time.monotonic() + timeout_s
    return lambda: give_up_s is not None and time.monotonic() > give_up_s


def _gave_up(left: Sequence[AgentState]) -> WaitTimedOut:
    reported = "; ".join(f"Agent {one.agent_id} is {one.status} ({one.phase})" for one in left)
    names = " ".join(agent.agent_id for agent in left)
    return WaitTimedOut(f"{reported}.", action=f"Going on: wait again with `orch wait {names}`.")


@contextmanager
def _progress() -> Iterator[Callable[[Snapshot], None]]:
    screen = console(err=True)
    if screen is None:
        yield lambda _look: None
        return
    from rich.text import Text  # noqa: PLC0415 - slow to load: a pipe needs none

    last = ""
    with screen.status("") as line:

        def show(look: Snapshot) -> None:
            nonlocal last
            agent = look.agent
            # A line may have megabytes: one screen of it is enough.
            last = one_line(look.lines[-1].text[: 10 * screen.width]) if look.lines else last
            facts = f"{agent.phase}  {elapsed(agent)}  {agent.usage.total_tokens} tokens"
            # Text, not markup: the agent's output is data.
            text = Text.assemble((facts, "bold"), "  ", (last, "dim"))
            text.truncate(screen.width - 3, overflow="ellipsis")
            line.update(text)

        yield show
