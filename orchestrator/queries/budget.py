"""The summary of the budget: the tokens of today, and the spend of each agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from orchestrator.models import (
    AgentSpend,
    AgentState,
    BudgetLimits,
    BudgetStatus,
    BudgetSummary,
    Spend,
    Status,
)
from orchestrator.settings import Settings
from orchestrator.store import agents, budget, slots
from orchestrator.store.operations import Flow

_APPROACHING_PERCENT = 80


def summary(settings: Settings, now: datetime) -> Flow[BudgetSummary]:
    """Read the summary of today (UTC), with the agents by their tokens today, largest first.

    Touches: the limits, the day's counters, the reservations, the slots, and the records of the
    agents that spent tokens today.
    """
    in_force = yield from budget.limits(settings)
    day = yield budget.spent_today(now)
    reserved = yield budget.reservations()
    running = yield slots.held_count()
    waiting = yield slots.waiting_count()
    used = int(day.get("used", 0))
    today = {name.partition(":")[2]: int(n) for name, n in day.items() if "tokens:" in name}
    names = sorted({*today, *reserved} - {budget.TOTAL})
    states = yield from agents.find_each(names)
    rows = [
        _row(agent_id, agent, today, day, reserved, in_force, used)
        for agent_id, agent in zip(names, states, strict=True)
    ]
    return BudgetSummary(
        day=now.astimezone(UTC).date().isoformat(),
        status=status_of(used, in_force.daily_tokens),
        limit=in_force.daily_tokens,
        used=used,
        reserved=reserved.get(budget.TOTAL, 0),
        percent=_percent(used, in_force.daily_tokens),
        cost_usd=day.get("cost", 0.0),
        delivered=_sum(rows, {Status.COMPLETED}),
        in_nothing=_sum(rows, {Status.FAILED, Status.KILLED}),
        unfinished=_sum(rows, {Status.SPAWNING, Status.RUNNING, None}),
        running=running,
        waiting=waiting,
        limits=in_force,
        agents=tuple(sorted(rows, key=lambda row: (-row.tokens_today, row.agent_id))),
    )


def status_of(used: int, limit: int) -> BudgetStatus:
    """Return the budget status for `used` of `limit` tokens."""
    if used * 100 < limit * _APPROACHING_PERCENT:
        return BudgetStatus.WITHIN_BUDGET
    if used < limit:
        return BudgetStatus.APPROACHING_LIMIT
    return BudgetStatus.AT_LIMIT if used == limit else BudgetStatus.EXCEEDED


def _row(
    agent_id: str,
    agent: AgentState | None,
    today: Mapping[str, int],
    day: Mapping[str, float],
    reserved: Mapping[str, int],
    limits: BudgetLimits,
    used: int,
) -> AgentSpend:
    spent = today.get(agent_id, 0)
    tokens = agent.usage.total_tokens if agent else spent
    cost = day.get(f"cost:{agent_id}")
    return AgentSpend(
        agent_id=agent_id,
        task_id=agent.task_id if agent else None,
        status=agent.status if agent else None,
        tokens_today=spent,
        cost_usd_today=cost,
        tokens=tokens,
        percent=_percent(tokens, limits.agent_tokens),
        percent_of_day=_percent(spent, used),
        reserved=reserved.get(agent_id, 0),
    )


def _sum(rows: Sequence[AgentSpend], statuses: set[Status | None]) -> Spend:
    some = [row for row in rows if row.status in statuses]
    return Spend(
        agents=len(some),
        tokens=sum(row.tokens_today for row in some),
        cost_usd=sum(row.cost_usd_today or 0 for row in some),
    )


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
