"""The records of the budget: its limits, the state of a day, and the usage of each agent."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from orchestrator.models.record import Record
from orchestrator.models.state import Status


class BudgetStatus(StrEnum):
    """The usage of a day compared with its limit: below 80 %, below it, equal to it, above it.

    Of the status by tokens and the one by dollars, the worse counts.
    """

    WITHIN_BUDGET = "within_budget"
    APPROACHING_LIMIT = "approaching_limit"
    AT_LIMIT = "at_limit"
    EXCEEDED = "exceeded"


class BudgetLimits(Record):
    """The limits in force."""

    mode: Literal["hard", "soft"]
    daily_tokens: int
    agent_tokens: int
    reservation_tokens: int
    concurrency: int
    time_s: float
    #: Dollars; absent without a limit.
    daily_usd: float | None = None
    agent_usd: float | None = None
    #: The names of the limits that were set at run time.
    changed: tuple[str, ...] = ()


class AgentSpend(Record):
    """The usage of one agent: today and in total."""

    agent_id: str
    task_id: str | None = None
    #: None if the record was removed at the end of its retention.
    status: Status | None = None
    tokens_today: int
    cost_usd_today: float | None = None
    #: Over all days; absent if none of its models has a price.
    cost_usd: float | None = None
    tokens: int
    #: Percent of the limit of one agent.
    percent: float
    #: Percent of the usage of all agents today.
    percent_of_day: float
    reserved: int = 0


class Spend(Record):
    """A sum over several agents."""

    agents: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


class BudgetSummary(Record):
    """The state of the budget of one day (UTC)."""

    day: str
    status: BudgetStatus
    limit: int
    used: int
    reserved: int
    percent: float
    cost_usd: float
    #: The usage by outcome: completed; failed, killed or rejected; all others.
    delivered: Spend
    in_nothing: Spend
    unfinished: Spend
    #: The number of agents that hold a slot, and of those that wait for one.
    running: int
    waiting: int
    #: Percent of the limit of dollars; absent without one.
    percent_usd: float | None = None
    limits: BudgetLimits
    #: Those with the most tokens today; `more_agents` counts the others.
    agents: tuple[AgentSpend, ...] = ()
    more_agents: int = 0
