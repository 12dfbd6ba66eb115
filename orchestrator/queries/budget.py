"""The summary of the budget: the tokens of today, and the spend of each agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import compress

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
from orchestrator.store import agent_index, agents, budget, slots
from orchestrator.store.operations import Flow

_APPROACHING_PERCENT = 80
#: The agents of the list; the sums count all.
MOST_AGENTS = 500
_BATCH = 2_000
_OUTCOMES = {
    Status.COMPLETED: "delivered",
    Status.FAILED: "in_nothing",
    Status.KILLED: "in_nothing",
}


def summary(settings: Settings, now: datetime) -> Flow[BudgetSummary]:
    """Read the summary of today (UTC), with the agents by their tokens today, largest first.

    Touches: the limits, the day's counters, the reservations, the slots, the status indexes, and
    the records of the agents of the list.
    """
    in_force = yield from budget.limits(settings)
    day = yield from budget.spent_today(now)
    reserved = yield budget.reservations()
    running = yield slots.held_count()
    waiting = yield slots.waiting_count()
    used, cost = int(day.get("used", 0)), day.get("cost", 0.0)
    today = {name.partition(":")[2]: int(n) for name, n in day.items() if "tokens:" in name}
    names = sorted(
        {*today, *reserved} - {budget.TOTAL}, key=lambda name: (-today.get(name, 0), name)
    )
    spent = yield from _by_outcome(names, today, day)
    states = yield from agents.find_each(names[:MOST_AGENTS])
    return BudgetSummary(
        day=now.astimezone(UTC).date().isoformat(),
        status=status_of(used, in_force.daily_tokens, cost, in_force.daily_usd),
        limit=in_force.daily_tokens,
        used=used,
        reserved=reserved.get(budget.TOTAL, 0),
        percent=_percent(used, in_force.daily_tokens),
        cost_usd=cost,
        percent_usd=_percent(cost, in_force.daily_usd) if in_force.daily_usd else None,
        **spent,
        running=running,
        waiting=waiting,
        limits=in_force,
        agents=tuple(
            _row(agent_id, agent, today, day, reserved, in_force, used)
            for agent_id, agent in zip(names, states, strict=False)
        ),
        more_agents=max(0, len(names) - MOST_AGENTS),
    )


def _by_outcome(
    names: Sequence[str], today: Mapping[str, int], day: Mapping[str, float]
) -> Flow[dict[str, Spend]]:
    """Sum up the usage of the agents by outcome, from the status indexes: no record is read."""
    outcomes = dict.fromkeys(names, "unfinished")
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        for status, outcome in _OUTCOMES.items():
            has_it = yield agent_index.has_status(some, status)
            outcomes |= dict.fromkeys(compress(some, has_it), outcome)
    sums = {}
    for outcome in ("delivered", "in_nothing", "unfinished"):
        some = [name for name in names if outcomes[name] == outcome]
        sums[outcome] = Spend(
            agents=len(some),
            tokens=sum(today.get(name, 0) for name in some),
            cost_usd=sum(day.get(f"cost:{name}", 0.0) for name in some),
        )
    return sums


def status_of(
    used: int, limit: int, cost_usd: float = 0.0, limit_usd: float | None = None
) -> BudgetStatus:
    """Return the worse of the statuses by tokens and by dollars."""
    ranks = [_rank(used, limit), _rank(cost_usd, limit_usd) if limit_usd else 0]
    return tuple(BudgetStatus)[max(ranks)]


def _rank(used: float, limit: float) -> int:
    if used * 100 < limit * _APPROACHING_PERCENT:
        return 0
    if used < limit:
        return 1
    return 2 if used == limit else 3


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
        cost_usd=agent.usage.cost_usd if agent else cost,
        tokens=tokens,
        percent=_percent(tokens, limits.agent_tokens),
        percent_of_day=_percent(spent, used),
        reserved=reserved.get(agent_id, 0),
    )


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
