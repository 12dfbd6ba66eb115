"""The explanations of agents: reads their context and applies the rules of `attention`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from orchestrator.messages import MOST_URGENT, agent_of, queue_key
from orchestrator.models import AgentState, AgentType, Status
from orchestrator.models.attention import (
    MAY_NEED_ATTENTION,
    MOST_EXAMINED,
    Acknowledgement,
    Attention,
)
from orchestrator.models.state_machine import ACTIVE, AWAITING_SPAWN, PHASES
from orchestrator.queries.agent_list import is_listed
from orchestrator.queries.attention import AttentionContext, explain
from orchestrator.settings import Settings
from orchestrator.store import (
    acknowledgements,
    agent_index,
    budget,
    changes,
    delays,
    kills,
    provider_limits,
    queues,
    server,
    workers,
)
from orchestrator.store import (
    agents as stored,
)
from orchestrator.store import halt as halts
from orchestrator.store.operations import Flow
from orchestrator.store.provider_limits import Limits, limited_until_ms

_LIMIT = 500


def explain_agents(
    agents: Sequence[AgentState], settings: Settings, now: datetime
) -> Flow[dict[str, Attention]]:
    """Return the attention of these agents by agentId; agents that need none are omitted.

    Touches: the limits, the halt, the pauses, the unconfirmed kills, the provider limits, and the
    tasks and changes of the agents.
    """
    contexts = yield from _contexts(agents, settings)
    found = {agent.agent_id: explain(agent, contexts[agent.agent_id], now) for agent in agents}
    return {name: one for name, one in found.items() if one.rank is not None}


def explain_one(agent_id: str, settings: Settings, now: datetime) -> Flow[Attention]:
    """Return the reason for one agent's present state, with its number in line.

    Touches: as `explain_agents`, and the workers, the delayed agents and the agent's queue.

    Raises:
        NotFound: there is no such agent.
    """
    agent: AgentState = yield stored.read(agent_id)
    contexts = yield from _contexts((agent,), settings)
    around = contexts[agent_id]
    if PHASES[agent.phase].is_waiting:
        around = yield from _with_line(agent, around)
    return explain(agent, around, now)


def urgent(
    settings: Settings,
    now: datetime,
    *,
    status: Status | None = None,
    agent_type: AgentType | None = None,
    task_id: str | None = None,
    repository: str | None = None,
    code: str | None = None,
    since: datetime | None = None,
) -> Flow[tuple[tuple[AgentState, Attention], ...]]:
    """Read the agents that need attention, the most urgent first, then the newest.

    At most the newest MOST_EXAMINED agents of each status are checked.
    """
    candidates = yield from _candidates()
    wanted = [
        agent
        for agent in candidates
        if is_listed(
            agent,
            status=status,
            agent_type=agent_type,
            task_id=task_id,
            repository=repository,
            code=code,
            since=since,
        )
    ]
    found = yield from explain_agents(wanted, settings, now)
    # The sort is stable: among equals the newest stays first.
    return tuple(
        sorted(
            ((agent, found[agent.agent_id]) for agent in wanted if agent.agent_id in found),
            key=lambda pair: pair[1].rank or 0,
        )
    )


def _contexts(
    agents: Sequence[AgentState], settings: Settings
) -> Flow[dict[str, AttentionContext]]:
    limits = yield from budget.limits(settings)
    shared = AttentionContext(
        halt=(yield halts.find_halt()), pauses=(yield queues.paused()), limits=limits
    )
    unconfirmed = set((yield kills.unconfirmed()))
    provider: Limits = {}
    if any(agent.phase in AWAITING_SPAWN for agent in agents):
        provider = yield provider_limits.read_limits()
    newest = yield from _newest_of_tasks(agents)
    acknowledged = yield from _acknowledged([agent.agent_id for agent in agents])
    contexts: dict[str, AttentionContext] = {}
    for agent in agents:
        name = agent.agent_id
        serves = newest.get(agent.task_id, "")
        has_change = False
        if agent.status is Status.FAILED:
            has_change = yield changes.has_any_change(name, agent.attempt)
        contexts[name] = replace(
            shared,
            limited_until=_limited_until(agent, provider),
            is_unconfirmed=name in unconfirmed,
            has_change=has_change,
            newest=serves,
            acknowledged=acknowledged.get(name),
        )
    return contexts


def _limited_until(agent: AgentState, limits: Limits) -> datetime | None:
    until_ms = limited_until_ms(agent, limits)
    return datetime.fromtimestamp(until_ms / 1000, UTC) if until_ms else None


def _acknowledged(agent_ids: Sequence[str]) -> Flow[dict[str, Acknowledgement]]:
    found: dict[str, Acknowledgement] = {}
    for start in range(0, len(agent_ids), _LIMIT):
        names = agent_ids[start : start + _LIMIT]
        some = yield acknowledgements.find_each(names)
        found |= {name: one for name, one in zip(names, some, strict=True) if one}
    return found


def _newest_of_tasks(agents: Sequence[AgentState]) -> Flow[dict[str, str]]:
    tasks = sorted({agent.task_id for agent in agents if agent.status not in ACTIVE})
    newest: dict[str, str] = {}
    for start in range(0, len(tasks), _LIMIT):
        found = yield stored.find_tasks(tasks[start : start + _LIMIT])
        newest |= {task.task_id: task.agent_id for task in found if task}
    return newest


# ── in line ─────────────────────────────────────────────────────────────────────────────────


def _with_line(agent: AgentState, around: AttentionContext) -> Flow[AttentionContext]:
    queue = PHASES[agent.phase].queue
    present = yield workers.present(now=(yield server.now()))
    due_ms = yield delays.due_at_ms(agent.agent_id)
    rank_for_slot = None
    if agent.phase in AWAITING_SPAWN:
        rank_for_slot = yield queues.rank_for_slot(agent.agent_id)
    return replace(
        around,
        has_worker=queue not in workers.missing_pools(present),
        due_at=None if due_ms is None else datetime.fromtimestamp(due_ms / 1000, UTC),
        rank_for_slot=rank_for_slot,
        place_in_queue=(yield from _rank_in_queue(agent, queue)),
    )


def _rank_in_queue(agent: AgentState, queue: str) -> Flow[int | None]:
    """Return the number of the agent's message in its queue; None beyond the first `_LIMIT`."""
    before = 0
    for priority in range(MOST_URGENT, agent.priority, -1):
        before += yield queues.length(queue_key(queue, priority))
    waiting = yield queues.next_messages(queue_key(queue, agent.priority), _LIMIT)
    for number, message in enumerate(waiting, 1):
        if agent_of(message) == agent.agent_id:
            return before + number
    return None


# ── of all ──────────────────────────────────────────────────────────────────────────────────


def _candidates() -> Flow[tuple[AgentState, ...]]:
    """Read the agents that may need attention, newest first."""
    ids = set((yield kills.unconfirmed()))
    for status in MAY_NEED_ATTENTION:
        ids |= set((yield agent_index.newest(status, limit=MOST_EXAMINED)))
    found = yield from stored.read_each(sorted(ids))
    return tuple(sorted(found, key=lambda agent: agent.spawned_at, reverse=True))
