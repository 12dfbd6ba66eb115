"""The settings of what agents may spend: places, time and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, Tokens, env

Places = Annotated[int, Field(ge=1, le=1000)]
#: No agent of ours works for a month.
WorkTime = Annotated[Duration, Field(le=timedelta(days=30).total_seconds())]


class BudgetSettings(BaseSettings):
    """The limits of the fleet and of one agent, until somebody changes them at run time."""

    max_concurrent_agents: Places = env("MAX_CONCURRENT_AGENTS", default=10)
    agent_timeout_s: WorkTime = env(
        "ORCHESTRATOR_AGENT_TIMEOUT", default=timedelta(minutes=120).total_seconds()
    )
    daily_tokens: Tokens = env("BUDGET_DAILY_TOKENS", default=10_000_000)
    agent_tokens: Tokens = env("BUDGET_PER_AGENT_TOKENS", default=2_000_000)
    #: Set aside for an agent at its spawn; the day's 10 M hold a thousand that wait.
    reservation_tokens: Tokens = env("BUDGET_RESERVATION", default=10_000)
    budget_mode: Literal["hard", "soft"] = env("BUDGET_MODE", default="hard")
    meter_silence_s: Duration = env("ORCHESTRATOR_METER_SILENCE", default=600.0)
