"""The trail of an agent: where its events and audit entries are, so that others are not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.store import keys
from orchestrator.store.audit import Link
from orchestrator.store.events import StoredEvent
from orchestrator.store.operations import Flow, Operation, call, command, nothing

#: Entries of one call of the script: it blocks Valkey for about 1 ms.
_PART = 250


@dataclass(frozen=True)
class Trail:
    """The events and the audit entries of an agent that are still stored; oldest first."""

    events: tuple[StoredEvent, ...]
    #: Without their MACs.
    audit: tuple[Link, ...]


def read_trail(agent_id: str) -> Flow[Trail]:
    """Read the events of one agent and the audit entries about it."""
    events: list[StoredEvent] = []
    audit: list[Link] = []
    first = 0
    while True:
        count, found = yield _read_entries(agent_id, first)
        for kind, name, document in found:
            if kind == b"e":
                events.append(StoredEvent(name.decode(), document.decode(errors="replace")))
            else:
                audit.append(Link(name.decode(), document, b""))
        if count < _PART:
            return Trail(tuple(events), tuple(audit))
        first += count


def _read_entries(
    agent_id: str, first: int
) -> Operation[tuple[int, list[tuple[bytes, bytes, bytes]]]]:
    named = {"trail": keys.trail(agent_id), "events": keys.EVENTS_STREAM, "audit": keys.AUDIT}
    return call(
        *("read_trail", named, (first, _PART)),
        lambda reply: (
            reply[0],
            list(zip(reply[1::3], reply[2::3], reply[3::3], strict=True)),
        ),
    )


def count_trails(agent_ids: Sequence[str]) -> Operation[int]:
    """Count those of these agents that have a trail."""
    return command("EXISTS", *map(keys.trail, agent_ids), decode=int)


def write_trail(
    agent_id: str, event_ids: Sequence[str], audit_ids: Sequence[str]
) -> Operation[None]:
    """Write the trail of an agent that has none."""
    entries = (*(f"a{name}" for name in audit_ids), *(f"e{name}" for name in event_ids))
    return command("RPUSH", keys.trail(agent_id), *entries, decode=nothing)
