"""The settings of limits: concurrent agents, time and tokens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from orchestrator.settings.values import Dollars, Duration, SettingsGroup, Tokens, env

Slots = Annotated[int, Field(ge=1, le=1000)]
#: No agent runs for a month; a longer duration is a mistake.
WorkTime = Annotated[Duration, Field(le=timedelta(days=30).total_seconds())]


class BudgetSettings(SettingsGroup):
    """The limits of the fleet and of one agent. `orch budget set` overrides them at run time."""

    max_concurrent_agents: Slots = env(
        "MAX_CONCURRENT_AGENTS",
        description="The number of agents of the whole fleet that prepare or run at once, 1 to"
        " 1,000. Further agents wait.",
        default=10,
    )
    agent_timeout_s: WorkTime = env(
        "ORCHESTRATOR_AGENT_TIMEOUT",
        description="The time limit of an agent over all its attempts, at most 30d. The system"
        " ends an agent that reaches it.",
        default=timedelta(minutes=120).total_seconds(),
    )
    daily_tokens: Tokens = env(
        "BUDGET_DAILY_TOKENS",
        description="The token limit per day (UTC) of all agents together, such as 500k or 10M.",
        default=10_000_000,
    )
    agent_tokens: Tokens = env(
        "BUDGET_PER_AGENT_TOKENS",
        description="The token limit of one agent over all its attempts.",
        default=2_000_000,
    )
    daily_usd: Dollars | None = env(
        "BUDGET_DAILY_USD",
        description="The limit of dollars per day (UTC) of all agents together, such as 20 or 0.50."
        " Unset: no limit.",
        default=None,
    )
    agent_usd: Dollars | None = env(
        "BUDGET_PER_AGENT_USD",
        description="The limit of dollars of one agent over all its attempts. A request can lower"
        " it by `maxCostUsd`. Unset: no limit.",
        default=None,
    )
    message_tokens: Tokens = env(
        "BUDGET_PER_MESSAGE_TOKENS",
        description="The most tokens that one message of a model can have, such as its context"
        " window with room for tools that read it again. Larger reports are not counted.",
        default=4_000_000,
    )
    #: With this value the day's 10 M tokens admit a thousand waiting agents.
    reservation_tokens: Tokens = env(
        "BUDGET_RESERVATION",
        description="The number of tokens that a spawn reserves, at most the agent's own limit.",
        default=10_000,
    )
    budget_mode: Literal["hard", "soft"] = env(
        "BUDGET_MODE",
        description="`hard`: the system stops an agent that is over a limit. `soft`: it only"
        " reports the agent.",
        default="hard",
    )
    prices: Path | None = env(
        "ORCHESTRATOR_PRICES",
        description="A file with prices of models, in the format of the shipped `prices.toml`. Its"
        " entries precede the shipped ones.",
        default=None,
    )
    usage_silence_s: Duration = env(
        "ORCHESTRATOR_USAGE_SILENCE",
        description="How long an agent may produce model output without a usage report, if its"
        " backend reports usage. After that, the agent fails.",
        default=600.0,
    )
