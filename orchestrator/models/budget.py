"""The records of the budget: its limits, how a day stands, and who spent what of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from orchestrator.models.record import Record
from orchestrator.models.state import Status


class BudgetStatus(StrEnum):
    """How what is spent of a day stands to its limit: below 80 %, below it, on it, above it."""

    WITHIN_BUDGET = "within_budget"
    APPROACHING_LIMIT = "approaching_limit"
    AT_LIMIT = "at_limit"
    EXCEEDED = "exceeded"


class BudgetLimits(Record):
    """The limits that are in force."""

    mode: Literal["hard", "soft"]
    daily_tokens: int
    agent_tokens: int
    reservation_tokens: int
    concurrency: int
    time_s: float
    #: Those of them that somebody set at run time.
    changed: tuple[str, ...] = ()


class AgentSpend(Record):
    """What one agent has spent, today and in its whole life."""

    agent_id: str
    task_id: str | None = None
    #: None where its record is gone: its retention has ended.
    status: Status | None = None
    tokens_today: int
    cost_usd_today: float | None = None
    tokens: int
    #: Of the limit of one agent.
    percent: float
    #: Of all that was spent today.
    percent_of_day: float
    reserved: int = 0


class Spend(Record):
    """A sum over agents."""

    agents: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


class BudgetSummary(Record):
    """How a day (UTC) stands."""

    day: str
    status: BudgetStatus
    limit: int
    used: int
    reserved: int
    percent: float
    cost_usd: float
    #: Of those that completed; of those that failed, were killed or rejected; of all others.
    delivered: Spend
    in_nothing: Spend
    unfinished: Spend
    #: Who holds one of the fleet's places, and who waits for one.
    running: int
    waiting: int
    limits: BudgetLimits
    agents: tuple[AgentSpend, ...] = ()
