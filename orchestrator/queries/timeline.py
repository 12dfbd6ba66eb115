"""The timeline of one agent: its events and its audit entries, found by its trail."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.audit.chain import parse_entry
from orchestrator.models import AgentState, AuditEntry
from orchestrator.store.events import StoredEvent
from orchestrator.store.operations import Flow
from orchestrator.store.trails import Trail, read_trail


@dataclass(frozen=True)
class AgentTimeline:
    """The events of an agent that the stream still has, and its audit entries; oldest first."""

    events: tuple[StoredEvent, ...]
    audit: tuple[AuditEntry, ...]


def read_timeline(agent: AgentState) -> Flow[AgentTimeline]:
    """Read the timeline of one agent: at most the newest 1,000 entries.

    Touches: the trail of the agent, and its entries in the event stream and in the audit.

    Raises:
        AuditBroken: an entry of the audit cannot be parsed.
    """
    trail: Trail = yield from read_trail(agent.agent_id)
    return AgentTimeline(trail.events, tuple(map(parse_entry, trail.audit)))
