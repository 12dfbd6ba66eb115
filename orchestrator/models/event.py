"""The lines of the event stream and of an agent's log."""

from __future__ import annotations

from pydantic import Field

from orchestrator.models.budget import BudgetStatus
from orchestrator.models.record import Instant, Record
from orchestrator.models.state import Phase, Status


class LifecycleEvent(Record):
    """One line of the event stream."""

    type: str
    timestamp: Instant
    #: Empty if the event concerns no agent, such as a change of the budget's status by a new limit.
    agent_id: str = ""
    task_id: str | None = None
    status: Status | None = None
    phase: Phase | None = None
    attempt: int | None = None
    yolo: bool | None = None
    #: The backend, the model and the effort of the agent.
    agent: str | None = None
    model: str | None = None
    effort: str | None = None
    #: For `agent.fallback`: the choice before, as `AGENT` or `AGENT:MODEL`.
    fallback_from: str | None = None
    #: For `agent.phase`: the phases before and after, and the round, from 1.
    from_phase: Phase | None = Field(None, alias="from")
    to: Phase | None = None
    round: int | None = None
    #: Why an agent waits, goes back or starts another attempt, and the code of the error.
    reason: str | None = None
    reason_code: str | None = None
    #: For `agent.overlap`: the other agent, files that both changed, and the number of others.
    other: str | None = None
    files: tuple[str, ...] = ()
    more_files: int | None = None
    error: str | None = None
    error_code: str | None = None
    #: For `budget.status`: the status of the day, its used tokens and its limit.
    budget: BudgetStatus | None = None
    used: int | None = None
    limit: int | None = None
    #: With a limit of dollars: the used ones, and the limit.
    used_usd: float | None = None
    limit_usd: float | None = None


class LogLine(Record):
    """One line of an agent's output; `text` is untrusted data."""

    id: str = ""
    at: Instant
    source: str
    text: str
    #: The id of a tool call; the lines with its output and its failure have the same one.
    tool: str | None = None
