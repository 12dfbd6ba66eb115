"""The settings of what agents may spend: places, time and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, env


class BudgetSettings(BaseSettings):
    """The limits of the fleet and of one agent."""

    max_concurrent_agents: Annotated[int, Field(ge=1, le=1000)] = env(
        "MAX_CONCURRENT_AGENTS", default=10
    )
    agent_timeout_s: Duration = env(
        "ORCHESTRATOR_AGENT_TIMEOUT", default=timedelta(minutes=120).total_seconds()
    )
