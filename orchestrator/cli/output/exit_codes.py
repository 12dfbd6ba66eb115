"""The table of exit codes, and the code of each error and outcome."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from orchestrator.models import Outcome


class Exit(IntEnum):
    """Every exit code with its meaning."""

    OK = 0, "success; for an agent: it completed"
    FAILED = 1, "failure; for an agent: it failed"
    USAGE = 2, "the arguments or the request are invalid; nothing was done"
    REJECTED = 3, "the gates rejected the change"
    BUDGET = 4, "the budget refused it; for an agent: it exceeded a limit of tokens or dollars"
    KILLED = 5, "the agent was killed"
    TIMED_OUT = 6, "the agent reached its time limit, or it stalled and was ended"
    UNREACHABLE = 7, "Valkey or the API does not answer, or no system runs here"
    GAVE_UP = 124, "`--timeout` has passed; the agent continues"
    INTERRUPTED = 130, "Ctrl-C; the agents continue"
    PIPE = 141, "the reader of the output closed the pipe"

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make a code with its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


#: Error code → exit code; all other errors exit with FAILED.
_OF_ERRORS = {
    "request_invalid": Exit.USAGE,
    "idempotency_conflict": Exit.USAGE,
    "limit_invalid": Exit.USAGE,
    "gates_rejected": Exit.REJECTED,
    "plan_invalid": Exit.REJECTED,
    "plan_unrunnable": Exit.REJECTED,
    "environment_failed": Exit.REJECTED,
    "repo_config_invalid": Exit.REJECTED,
    "coordinator_refused": Exit.REJECTED,
    "coordinator_unavailable": Exit.REJECTED,
    "budget_exhausted": Exit.BUDGET,
    "budget_exceeded": Exit.BUDGET,
    "dollars_exhausted": Exit.BUDGET,
    "price_unknown": Exit.BUDGET,
    "agent_killed": Exit.KILLED,
    "agent_timed_out": Exit.TIMED_OUT,
    "agent_stalled": Exit.TIMED_OUT,
    "valkey_unreachable": Exit.UNREACHABLE,
    "not_running": Exit.UNREACHABLE,
    "api_unreachable": Exit.UNREACHABLE,
    "api_lacks": Exit.USAGE,
    "context_invalid": Exit.USAGE,
    "id_ambiguous": Exit.USAGE,
    "cursor_unknown": Exit.USAGE,
    "wait_timed_out": Exit.GAVE_UP,
}


def exit_of_error(code: str | None) -> Exit:
    """Return the exit code of a command that failed with this error."""
    return _OF_ERRORS.get(code or "", Exit.FAILED)


def exit_of_outcome(outcome: Outcome) -> Exit:
    """Return the exit code of a command that waited for this outcome."""
    if outcome.status == "completed":
        return Exit.OK
    # A kill by a limit has its own code; any other kill was requested.
    found = exit_of_error(outcome.error_code)
    return Exit.KILLED if outcome.status == "killed" and found is Exit.FAILED else found
