"""`orch events`: prints the events of all agents from the stream, without a gap."""

from __future__ import annotations

import re
from typing import Any

import click

from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import Client
from orchestrator.cli.commands.completion import AgentId
from orchestrator.cli.ids import named, typed_ids
from orchestrator.cli.output.render import detaching, json_option, print_json
from orchestrator.cli.output.text import one_line, say
from orchestrator.cli.values import ChoiceType
from orchestrator.errors import NotFound
from orchestrator.models import LifecycleEvent
from orchestrator.models.event_schemas import EVENTS
from orchestrator.settings import Settings, parse_duration
from orchestrator.store.events import StreamedEvent
from orchestrator.wiring import clock

_EVENT_ID = re.compile(r"\d+-\d+")
_START = "0-0"


class SinceType(click.ParamType[str]):
    """A duration before now, or the id of the last known event; converts to an event id."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id after which events are printed."""
        if _EVENT_ID.fullmatch(value):
            return str(value)
        try:
            since_ms = clock().timestamp() * 1000 - parse_duration(value) * 1000
        except ValueError as error:
            self.fail(f"{error}, or the id of an event", param, ctx)
        return f"{round(since_ms)}-0"


@click.command()
@click.option(
    "-f", "--follow", "is_following", is_flag=True, help="Follow new events until Ctrl-C."
)
@click.option(
    "--since",
    "after",
    type=SinceType(),
    metavar="30m|ID",
    help="Start this long ago, or after this event id. Default: the oldest event; with -f: now.",
)
@click.option(
    "--agent",
    "agent_ids",
    type=AgentId(),
    metavar="ID",
    multiple=True,
    help="Only events of this agent. Repeatable; `-` reads ids from standard input.",
)
@click.option(
    "--type",
    "kind",
    type=ChoiceType(EVENTS),
    metavar="TYPE",
    help="Only this type, such as agent.failed.",
)
@json_option
@click.pass_obj
def events(
    settings: Settings,
    /,
    *,
    is_following: bool,
    after: str | None,
    agent_ids: tuple[str, ...],
    kind: str | None,
    as_json: bool,
) -> None:
    """Print the events of all agents, oldest first.

    With -f it reconnects after a restart of Valkey. On Ctrl-C it prints the command that continues
    without a gap. In JSON, each event has an `id` that --since accepts.
    """
    with open_client(settings, is_following=is_following) as client:
        given = typed_ids(agent_ids) if agent_ids else ()
        wanted = {_wanted_agent(client, name) for name in given}

        def is_wanted(event: LifecycleEvent) -> bool:
            return (not wanted or event.agent_id in wanted) and kind in (None, event.type)

        if not is_following:
            found = (one for one in client.events(after or _START) if is_wanted(one.event))
            if as_json:
                print_json({"events": [_wire(one) for one in found]})
                return
            for one in found:
                say(_line(one))
            return
        # Asked in any case: a system that has never answered is not waited for.
        newest = client.last_event_id()
        last = after or newest

        def again() -> str:
            return f"orch events -f --since {last}"

        with detaching(again):
            for one in client.follow_events(last):
                if is_wanted(one.event):
                    print_json(_wire(one)) if as_json else say(_line(one))
                last = one.id


def _wanted_agent(client: Client, given: str) -> str:
    try:
        return named(client, given)
    except NotFound:
        # The stream outlives the record of an agent.
        return given


def _wire(one: StreamedEvent) -> dict[str, Any]:
    return {"id": one.id, **one.event.wire()}


def _line(one: StreamedEvent) -> str:
    return f"{one.id}  {one.event.agent_id or '-':<36}  {event_line(one.event)}"


def event_line(event: LifecycleEvent) -> str:
    """Render an event as one line; an error or a file name in it cannot add lines."""
    known = {"type", "timestamp", "agent_id", "task_id", "status"}
    others = event.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=known)
    facts = " ".join(
        f"{name}={', '.join(value) if isinstance(value, list) else value}"
        for name, value in others.items()
        if value not in ([], "")
    )
    at = f"{event.timestamp.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{at}  {one_line(event.type):<16}  {one_line(facts)}"
