"""Agents without a trail, whose timeline is therefore empty, and the repair of their trails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice

from orchestrator.audit.log import read_entries
from orchestrator.models import AgentState
from orchestrator.store import events, trails
from orchestrator.store.audit import link_id
from orchestrator.store.client import Store

#: Agents of one read, and audit entries of a trail that is written again.
_BATCH = 500
#: The clocks of hosts differ.
_SKEW = timedelta(minutes=1)


def agents_without_trail(store: Store, agents: Iterable[AgentState]) -> Iterator[AgentState]:
    """Yield those of these agents that have no trail."""
    rest = iter(agents)
    while batch := tuple(islice(rest, _BATCH)):
        if store.run(trails.count_trails([agent.agent_id for agent in batch])) == len(batch):
            continue
        for agent in batch:
            if not store.run(trails.count_trails([agent.agent_id])):
                yield agent


def write_trail_again(store: Store, agent: AgentState) -> None:
    """Find the events and the audit entries of an agent among all, and write its trail."""
    found: list[str] = []
    after = "0-0"
    while after:
        after, some = store.run(
            events.events_with(f'"agentId":"{agent.agent_id}"', after=after, upto="+")
        )
        found += [event.id for event in some]
    about = store.follow(
        read_entries(limit=_BATCH, agent_id=agent.agent_id, since=agent.spawned_at - _SKEW)
    )
    if found or about:
        store.run(
            trails.write_trail(
                agent.agent_id, found[-_BATCH:], [link_id(entry.seq) for entry in about]
            )
        )
