"""The settings of what agents may spend: places, time and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, Tokens, env

Slots = Annotated[int, Field(ge=1, le=1000)]
#: No agent of ours works for a month.
WorkTime = Annotated[Duration, Field(le=timedelta(days=30).total_seconds())]


class BudgetSettings(BaseSettings):
    """The limits of the fleet and of one agent, until somebody changes them at run time."""

    max_concurrent_agents: Slots = env(
        "MAX_CONCURRENT_AGENTS",
        description="Agents that prepare or run at once, fleet-wide, 1 to 1,000; more wait.",
        default=10,
    )
    agent_timeout_s: WorkTime = env(
        "ORCHESTRATOR_AGENT_TIMEOUT",
        description="The time of an agent over all its attempts, at most 30d; then it is ended.",
        default=timedelta(minutes=120).total_seconds(),
    )
    daily_tokens: Tokens = env(
        "BUDGET_DAILY_TOKENS",
        description="Tokens a day (UTC) of all agents together, such as 500k or 10M.",
        default=10_000_000,
    )
    agent_tokens: Tokens = env(
        "BUDGET_PER_AGENT_TOKENS",
        description="Tokens of one agent, all its rounds together.",
        default=2_000_000,
    )
    #: The day's 10 M hold a thousand that wait.
    reservation_tokens: Tokens = env(
        "BUDGET_RESERVATION",
        description="Tokens set aside for an agent at its spawn, at most its own limit.",
        default=10_000,
    )
    budget_mode: Literal["hard", "soft"] = env(
        "BUDGET_MODE",
        description="`hard`: who is over a limit is stopped; `soft`: it is only told.",
        default="hard",
    )
    meter_silence_s: Duration = env(
        "ORCHESTRATOR_METER_SILENCE",
        description="How long a backend that reports tokens may work without a report.",
        default=600.0,
    )
