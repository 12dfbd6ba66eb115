"""The summary of the fleet and of some agents, for live displays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from orchestrator.models import AgentSummary, Fleet, LogLine, Status
from orchestrator.models.state_machine import ACTIVE
from orchestrator.queries.explanations import explain_agents
from orchestrator.settings import Settings
from orchestrator.store import agent_index, agent_logs, agents, kills, provider_limits
from orchestrator.store import halt as halts
from orchestrator.store.operations import Flow

#: The limit of characters of the last output in a row.
_TEXT_LIMIT = 300


def survey(
    agent_ids: Sequence[str], backends: Iterable[str], settings: Settings, now: datetime
) -> Flow[Fleet]:
    """Read the summary of the fleet and of these agents; unknown ids are omitted.

    Touches: the status indexes, the halt, the unconfirmed kills, the provider limits; for each
    agent its record, the last line of its log, and the context of its attention.
    """
    counts = yield from count_agents()
    halt = yield halts.find_halt()
    unconfirmed = yield kills.unconfirmed()
    rate_limited: dict[str, datetime] = {}
    known, limits = frozenset(backends), (yield provider_limits.read_limits())
    for name, until_ms in sorted(limits.items()):
        until = datetime.fromtimestamp(until_ms / 1000, UTC)
        if until > now and name.partition(":")[0] in known:
            rate_limited[name] = until
    summaries = yield from _summaries(agent_ids, settings, now)
    return Fleet(
        counts=counts,
        halt=halt,
        unconfirmed=unconfirmed,
        rate_limited=rate_limited,
        agents=summaries,
    )


def count_agents() -> Flow[dict[Status, int]]:
    """Count the agents of each status."""
    counts: dict[Status, int] = {}
    for status in Status:
        counts[status] = yield agent_index.count(status)
    return counts


def _summaries(
    agent_ids: Sequence[str], settings: Settings, now: datetime
) -> Flow[tuple[AgentSummary, ...]]:
    if not agent_ids:
        return ()
    found = yield from agents.read_each(agent_ids)
    needs = yield from explain_agents(found, settings, now)
    summaries: list[AgentSummary] = []
    for agent in found:
        last: LogLine | None = None
        if agent.status in ACTIVE:
            last = yield agent_logs.last_line(agent.agent_id)
        if last is not None:
            last = last.model_copy(update={"text": last.text[:_TEXT_LIMIT]})
        summaries.append(
            AgentSummary(agent=agent, last_output=last, attention=needs.get(agent.agent_id))
        )
    return tuple(summaries)
