"""The summary of the budget: the tokens of today, and the spend of each agent."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.models import (
    AgentSpend,
    AgentState,
    BudgetLimits,
    BudgetStatus,
    BudgetSummary,
    Spend,
)
from orchestrator.models.state_machine import ACTIVE
from orchestrator.settings import Settings
from orchestrator.store import agent_index, agents, budget, slots
from orchestrator.store.operations import Flow

_APPROACHING_PERCENT = 80
#: The agents of the list; the sums count all.
MOST_AGENTS = 500


def summary(settings: Settings, now: datetime) -> Flow[BudgetSummary]:
    """Read the summary of today (UTC), with the agents by their tokens today, largest first.

    Active agents that have spent nothing yet follow, the newest first. Touches: the limits, the
    sums and the costs of the day, the reservations, the slots, the status indexes, and the records
    of the agents of the list.
    """
    in_force = yield from budget.limits(settings)
    day = yield budget.day_sums(now)
    spenders = yield budget.spender_count(now)
    running = yield slots.held_count()
    waiting = yield slots.waiting_count()
    active = 0
    for status in sorted(ACTIVE):
        active += yield agent_index.count(status)
    today = yield budget.most_spending(now, limit=MOST_AGENTS)
    names = sorted(today, key=lambda name: (-today[name], name))
    for status in sorted(ACTIVE):
        newest = yield agent_index.ids_after("", MOST_AGENTS, status=status)
        names += [name for name in newest if name not in today]
    del names[MOST_AGENTS:]
    costs = (yield budget.costs_of(names, now)) if names else []
    reserved = yield budget.reservations_of([budget.TOTAL, *names])
    states = yield from agents.find_each(names)
    ended = sum(one.agents for one in day.outcomes.values())
    unfinished = Spend(
        agents=active,
        tokens=max(0, day.tokens - sum(one.tokens for one in day.outcomes.values())),
        cost_usd=max(0.0, day.cost_usd - sum(one.cost_usd for one in day.outcomes.values())),
    )
    return BudgetSummary(
        day=now.astimezone(UTC).date().isoformat(),
        status=status_of(day.tokens, in_force.daily_tokens, day.cost_usd, in_force.daily_usd),
        limit=in_force.daily_tokens,
        used=day.tokens,
        reserved=reserved[0],
        percent=_percent(day.tokens, in_force.daily_tokens),
        cost_usd=day.cost_usd,
        percent_usd=_percent(day.cost_usd, in_force.daily_usd) if in_force.daily_usd else None,
        **day.outcomes,
        unfinished=unfinished,
        running=running,
        waiting=waiting,
        limits=in_force,
        agents=tuple(
            _row(agent_id, agent, today.get(agent_id, 0), cost, held, in_force, day.tokens)
            for agent_id, agent, cost, held in zip(names, states, costs, reserved[1:], strict=True)
        ),
        more_agents=max(0, max(active + ended, spenders) - len(names)),
    )


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
    spent: int,
    cost: float | None,
    reserved: int,
    limits: BudgetLimits,
    used: int,
) -> AgentSpend:
    tokens = agent.usage.total_tokens if agent else spent
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
        reserved=reserved,
    )


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
