"""Errors of the budget."""

from __future__ import annotations

from orchestrator.errors.agents import AgentFailed
from orchestrator.errors.tree import OrchestratorError


class BudgetExhausted(OrchestratorError):
    """Today's tokens do not hold what a new agent reserves."""

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
            f"Of today's {limit} tokens {used} are spent and {reserved} reserved:"
            f" an agent reserves {asked}."
        )


class NoSlotFree(OrchestratorError):
    """As many agents run as may at once."""

    code = "no_slot_free"
    action = "Nothing to do: it starts when one ends, or raise it: `orch budget set concurrency …`."


class BudgetExceeded(AgentFailed):
    """The agent has reached a limit of its tokens."""

    code = "budget_exceeded"
    action = "What it changed is kept: raise the limit (`orch budget set …`), then `orch retry`."


class UsageReportsMissing(AgentFailed):
    """The agent works, and does not report what it spends."""

    code = "usage_reports_missing"
    action = "Check that the backend's version reports its tokens (`orch doctor`)."


class LimitInvalid(OrchestratorError):
    """A limit of the budget is no usable value."""

    code = "limit_invalid"
    action = "Give a positive number, such as 5M tokens, 20 agents or 2h."
