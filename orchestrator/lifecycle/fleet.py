"""A look at the whole fleet and closely at some agents, for those who watch it live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from orchestrator.lifecycle import kills, waiting
from orchestrator.lifecycle.fsm import ACTIVE
from orchestrator.models import AgentState, Fleet, Glance, LogLine, Status
from orchestrator.store import changes, keys, streams
from orchestrator.store.operations import Flow, command, read_records

#: What stands in a row of a list.
_TEXT_LIMIT = 300


def survey(agent_ids: Sequence[str], backends: Iterable[str]) -> Flow[Fleet]:
    """Read how the fleet stands, and the agents of these ids that there are.

    Touches: the status indexes, the latch, the unconfirmed kills, the parked backends; of each
    agent its record, and its log's last line or what it left.
    """
    counts: dict[Status, int] = {}
    for status in Status:
        counts[status] = yield command("ZCARD", keys.status_index(status), decode=int)
    halt = yield kills.find_halt()
    unconfirmed = yield kills.unconfirmed()
    parked: dict[str, datetime] = {}
    for backend in sorted(backends):
        if until_ms := (yield waiting.parked_until_ms(backend)):
            parked[backend] = datetime.fromtimestamp(until_ms / 1000, UTC)
    glances = yield from _glances(agent_ids)
    return Fleet(counts=counts, halt=halt, unconfirmed=unconfirmed, parked=parked, agents=glances)


def _glances(agent_ids: Sequence[str]) -> Flow[tuple[Glance, ...]]:
    if not agent_ids:
        return ()
    found = yield read_records(AgentState, tuple(map(keys.agent, agent_ids)))
    glances: list[Glance] = []
    for agent in filter(None, found):
        glance = yield from _glance(agent)
        glances.append(glance)
    return tuple(glances)


def _glance(agent: AgentState) -> Flow[Glance]:
    if agent.status in ACTIVE:
        last: LogLine | None = yield streams.last_line(agent.agent_id)
        if last is not None:
            last = last.model_copy(update={"text": last.text[:_TEXT_LIMIT]})
        return Glance(agent=agent, last_output=last)
    if agent.status is Status.COMPLETED:
        return Glance(agent=agent)
    is_kept = False
    for attempt in range(agent.attempt, -1, -1):
        is_kept = is_kept or (yield changes.has_change(agent.agent_id, attempt))
    return Glance(agent=agent, is_kept=is_kept)
