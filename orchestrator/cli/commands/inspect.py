"""`orch inspect`: prints all stored facts about one agent, and the next command to run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import click

from orchestrator.cli import open_store
from orchestrator.cli.commands.completion import agent_argument
from orchestrator.cli.commands.events import event_line
from orchestrator.cli.commands.gates import print_report
from orchestrator.cli.output.render import (
    json_option,
    log_line,
    print_fields,
    print_json,
    read_lines,
)
from orchestrator.cli.output.text import is_terminal, say
from orchestrator.models import (
    AgentState,
    GateReport,
    LifecycleEvent,
    LogLine,
    Receipt,
    SpawnRequest,
    Status,
)
from orchestrator.models.attention import Attention
from orchestrator.queries.explanations import explain_one
from orchestrator.settings import Settings
from orchestrator.store import agents, changes, kills
from orchestrator.store import events as event_stream
from orchestrator.store.client import Store
from orchestrator.wiring import clock

_LAST_LINES = 20
#: Instants come from a worker's clock, stream ids from Valkey's: they may differ by this much.
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class _Found:
    agent: AgentState
    request: SpawnRequest
    events: tuple[LifecycleEvent, ...]
    reports: tuple[GateReport, ...]
    receipt: Receipt | None
    log: tuple[LogLine, ...]
    reason: Attention

    @property
    def need(self) -> Attention | None:
        return None if self.reason.rank is None else self.reason

    @property
    def next_command(self) -> str:
        if self.need:
            return self.need.command
        name = self.agent.agent_id
        return {
            Status.SPAWNING: f"orch wait {name}",
            Status.RUNNING: f"orch logs -f {name}",
            Status.COMPLETED: f"git fetch {self.agent.repository} {self.agent.branch}"
            if self.agent.branch
            else f"orch export {name}",
            Status.FAILED: f"orch retry {name}",
            Status.KILLED: f"orch retry {name}",
        }[self.agent.status]


@click.command()
@agent_argument()
@json_option
@click.pass_obj
def inspect(settings: Settings, agent_id: str, *, as_json: bool) -> None:
    """Show the state, timeline, gates and log of an agent, and the next command to run."""
    with open_store(settings) as store:
        found = _find(store, agent_id, settings)
    if as_json:
        print_json(
            {
                "agent": found.agent.wire(),
                "request": found.request.wire(),
                "events": [event.wire() for event in found.events],
                "reports": [report.wire() for report in found.reports],
                "receipt": found.receipt.wire() if found.receipt else None,
                "log": [line.wire() for line in found.log],
                "attention": found.need.why if found.need else None,
                "next": found.next_command,
            }
        )
        return
    _print(found)


def _find(store: Store, agent_id: str, settings: Settings) -> _Found:
    agent = store.run(agents.read(agent_id))
    return _Found(
        agent=agent,
        request=store.run(agents.read_request(agent_id)),
        events=tuple(_events(store, agent)),
        reports=store.run(changes.read_reports(agent_id)),
        receipt=store.run(kills.find_receipt(agent_id)),
        log=tuple(deque(read_lines(store, agent_id), _LAST_LINES)),
        reason=store.follow(explain_one(agent_id, settings, clock())),
    )


def _events(store: Store, agent: AgentState) -> Iterator[LifecycleEvent]:
    since = agent.spawned_at - _SKEW
    after = f"{round(since.timestamp() * 1000)}-0"
    while found := store.run(event_stream.read_events(after=after)):
        yield from (one.event for one in found if one.event.agent_id == agent.agent_id)
        after = found[-1].id


def _print(found: _Found) -> None:
    _title("State")
    print_fields(found.agent.wire())
    _title("Asked for")
    for number, item in enumerate(found.request.context.work_items, 1):
        say(f"{number}. " + item.replace("\n", "\n   "))
    _title("Timeline")
    for event in found.events:
        say(event_line(event))
    if found.reports:
        _title("Gates")
        for report in found.reports:
            print_report(report)
    if found.receipt:
        _title("Kill")
        print_fields(found.receipt.wire())
    if found.log:
        _title(f"Last words (all: orch logs {found.agent.agent_id})")
        for line in found.log:
            say(log_line(line))
    _title("Next")
    if found.need:
        say(f"! {found.need.why}")
    say(found.next_command)


def _title(text: str) -> None:
    say("")
    # The only decoration: bold text alone would be lost in a pipe.
    click.secho(text, bold=is_terminal()) if is_terminal() else say(text)
