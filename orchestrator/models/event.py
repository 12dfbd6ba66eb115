"""The lines of the event stream and of an agent's log."""

from __future__ import annotations

from orchestrator.models.budget import BudgetStatus
from orchestrator.models.record import Instant, Record
from orchestrator.models.state import Phase, Status


class LifecycleEvent(Record):
    """One line of the event stream."""

    type: str
    timestamp: Instant
    #: Empty in what concerns none, such as a new limit that changes the budget's status.
    agent_id: str = ""
    task_id: str | None = None
    status: Status | None = None
    phase: Phase | None = None
    attempt: int | None = None
    yolo: bool | None = None
    #: Of `agent.overlap`: the other agent, files both have touched, and how many more they are.
    other: str | None = None
    files: tuple[str, ...] = ()
    more_files: int | None = None
    error: str | None = None
    error_code: str | None = None
    #: Of `budget.status`: how the day stands, its tokens spent and its limit.
    budget: BudgetStatus | None = None
    used: int | None = None
    limit: int | None = None


class LogLine(Record):
    """One line of an agent's output; `text` is untrusted data."""

    id: str = ""
    at: Instant
    source: str
    text: str
