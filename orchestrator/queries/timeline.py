"""The timeline of one agent, from the event stream and the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.audit.log import read_entries
from orchestrator.models import AgentState, AuditEntry
from orchestrator.store import events as event_stream
from orchestrator.store.events import StoredEvent
from orchestrator.store.operations import Flow
from orchestrator.store.transition import now_ms

#: The cleanup of an ended agent ends within this, even if its pool is busy.
_CLEANED_WITHIN = timedelta(hours=1)
#: The clocks of hosts differ, so events are read from this long before the agent's spawn.
_SKEW = timedelta(minutes=1)


@dataclass(frozen=True)
class AgentTimeline:
    """The events of an agent that the stream still has, and its audit entries; oldest first."""

    events: tuple[StoredEvent, ...]
    audit: tuple[AuditEntry, ...]


def read_timeline(agent: AgentState) -> Flow[AgentTimeline]:
    """Read the timeline of one agent.

    Touches: the audit and the event stream, of which all events of the agent's time are read.
    """
    since = agent.spawned_at - _SKEW
    upto = _position(agent.completed_at + _CLEANED_WITHIN) if agent.completed_at else "+"
    found: list[StoredEvent] = []
    after = _position(since)
    mark = f'"{agent.agent_id}"'
    while after:
        after, events = yield event_stream.events_with(mark, after=after, upto=upto)
        found += events
    audit = yield from read_entries(limit=200, agent_id=agent.agent_id, since=since)
    return AgentTimeline(tuple(found), audit)


def _position(instant: datetime) -> str:
    return f"{max(now_ms(instant), 0)}-0"
