"""What happened to one agent and what was done to it, out of the event stream and the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.audit.log import read_entries
from orchestrator.models import AgentState, AuditEntry
from orchestrator.store import events as event_stream
from orchestrator.store.events import StoredEvent
from orchestrator.store.operations import Flow
from orchestrator.store.transition import now_ms

#: An ended agent is cleaned up within this, whatever its pool has to do.
_CLEANED_WITHIN = timedelta(hours=1)
#: Clocks of hosts differ: an event is looked for from this long before its agent's spawn.
_SKEW = timedelta(minutes=1)
_BATCH = 2000


@dataclass(frozen=True)
class AgentTimeline:
    """Events that are still kept, and the entries of the audit; oldest first."""

    events: tuple[StoredEvent, ...]
    audit: tuple[AuditEntry, ...]


def read_timeline(agent: AgentState) -> Flow[AgentTimeline]:
    """Read what concerns one agent; it reads all that happened in the agent's time."""
    since = agent.spawned_at - _SKEW
    upto = _position(agent.completed_at + _CLEANED_WITHIN) if agent.completed_at else "+"
    found: list[StoredEvent] = []
    after = _position(since)
    mark = f'"{agent.agent_id}"'
    while events := (yield event_stream.read_stored(after=after, upto=upto, count=_BATCH)):
        found += [event for event in events if mark in event.document]
        after = events[-1].id
    audit = yield from read_entries(limit=200, agent_id=agent.agent_id, since=since)
    return AgentTimeline(tuple(found), audit)


def _position(instant: datetime) -> str:
    return f"{max(now_ms(instant), 0)}-0"
