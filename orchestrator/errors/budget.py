"""Errors of the budget."""

from __future__ import annotations

from orchestrator.errors.agents import AgentFailed
from orchestrator.errors.tree import OrchestratorError


class BudgetExhausted(OrchestratorError):
    """The remaining tokens of today are fewer than a new agent reserves."""

    code = "budget_exhausted"
    action = "Wait for midnight UTC or for agents to end, or raise it: `orch budget set daily …`."

    def __init__(
        self, *, limit: int, used: int, reserved: int, asked: int, resets_in_s: int
    ) -> None:
        self.limit = limit
        self.used = used
        self.reserved = reserved
        self.asked = asked
        self.resets_in_s = resets_in_s
        super().__init__(
            f"Of today's {limit} tokens, {used} are used and {reserved} are reserved:"
            f" an agent reserves {asked}."
        )


class DollarsExhausted(OrchestratorError):
    """The dollars of today are spent."""

    code = "dollars_exhausted"
    action = "Wait for midnight UTC, or raise the limit: `orch budget set dailyUsd …`."

    def __init__(self, *, limit: str, used: str, resets_in_s: int) -> None:
        self.resets_in_s = resets_in_s
        super().__init__(f"Of today's {limit}, {used} are spent.")


class NoSlotFree(OrchestratorError):
    """All slots are in use."""

    code = "no_slot_free"
    action = "The agent starts when a slot is free; `orch budget set concurrency …` adds slots."


class BudgetExceeded(AgentFailed):
    """The agent has reached a limit of tokens or dollars."""

    code = "budget_exceeded"
    action = "The change is retained: raise the limit (`orch budget set …`), then run `orch retry`."


class PriceUnknown(AgentFailed):
    """Dollars are limited, and a model has no price."""

    code = "price_unknown"
    action = "Add its price to the file of ORCHESTRATOR_PRICES, or choose another model."


class UsageReportsMissing(AgentFailed):
    """The agent works, but its backend reports no tokens."""

    code = "usage_reports_missing"
    action = "Check that the backend's version reports its tokens (`orch doctor`)."


class LimitInvalid(OrchestratorError):
    """The value of a limit is invalid."""

    code = "limit_invalid"
    action = "Give a positive number, such as 5M tokens, 20 agents, 2h or 0.50 dollars."
