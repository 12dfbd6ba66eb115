"""The bodies and queries that only HTTP has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from orchestrator.control.kill_switch import TIMEOUT_S
from orchestrator.models import (
    AgentState,
    AgentType,
    AuditEntry,
    GateReport,
    Instant,
    KillScope,
    LifecycleEvent,
    LogLine,
    PathPattern,
    QueueState,
    Record,
    Status,
    TaskState,
)
from orchestrator.models.attention import Attention
from orchestrator.models.identifiers import Identifier
from orchestrator.queries import agent_list

StreamId = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,19}-[0-9]{1,19})?$")]
Reason = Annotated[str, StringConstraints(max_length=1000)]

# ── asked ───────────────────────────────────────────────────────────────────────────────────


class AgentsQuery(Record):
    """The query of `GET /agents`."""

    status: Status | None = None
    agent_type: AgentType | None = None
    task_id: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=agent_list.MAX_LIMIT)] = 50
    cursor: str = ""
    #: Whether the page includes `attention` of the agents that need it.
    attention: bool = False


class LogQuery(Record):
    """The query of `GET /agents/{agentId}/logs`; a cursor is the id of the last line received."""

    cursor: StreamId = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 500


class EventsQuery(Record):
    """The last event's id, for a client that cannot send Last-Event-ID."""

    cursor: StreamId = ""


class Because(Record):
    """The reason of an action, for the audit."""

    reason: Reason = ""


class KillBody(Because):
    """The options of a kill."""

    #: How long to wait for the kill confirmation, in seconds.
    timeout: Annotated[float, Field(ge=0, le=300)] = TIMEOUT_S
    #: Whether to discard the change of the agent.
    discard: bool = False


class KillAllBody(KillBody, KillScope):
    """The options and the scope of a kill of several agents; without a filter all active ones."""


class RetryBody(Because):
    """The options of a retry."""

    #: Whether to start from the branch instead of the retained change.
    afresh: bool = False
    #: Added to `mayEdit` of the request.
    may_edit: tuple[PathPattern, ...] = ()


# ── answered ────────────────────────────────────────────────────────────────────────────────


class HealthBody(Record):
    """The health of this process."""

    status: str
    uptime: float
    timestamp: Instant


class Readiness(Record):
    """Whether the system can run agents; a check is `ok` or describes its fault."""

    ready: bool
    checks: dict[str, str]


class Spawned(Record):
    """The agent of a spawn request."""

    agent_id: str
    status: Status


class AgentList(Record):
    """A page of agents, newest first."""

    agents: tuple[AgentState, ...]
    next_cursor: str | None = None
    #: agentId → its attention, if the query requests it.
    attention: dict[str, Attention] = Field(default_factory=dict)


class ReportList(Record):
    """Gate reports, oldest first."""

    reports: tuple[GateReport, ...]


class TaskDocument(TaskState):
    """A task and the agents that served it, newest first."""

    agents: tuple[AgentState, ...]


class LogPage(Record):
    """A page of output, oldest line first."""

    lines: tuple[LogLine, ...]
    next_cursor: str | None = None


class MessageBody(Record):
    """A confirmation of an action."""

    message: str


class QueueList(Record):
    """Every queue."""

    queues: tuple[QueueState, ...]


class QueueSwitched(Record):
    """The state of a queue after a pause or a resume."""

    name: str
    is_paused: bool


class TimedEvent(LifecycleEvent):
    """An event with its id in the stream."""

    id: str


class Timeline(Record):
    """The events of an agent and the audit entries about it, each oldest first."""

    events: tuple[TimedEvent, ...]
    audit: tuple[AuditEntry, ...]


class Fault(Record):
    """One fault of a request, with its path."""

    path: str
    message: str


class Problem(Record):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] = ()
    #: For an exhausted budget, in tokens.
    limit: int | None = None
    used: int | None = None
    reserved: int | None = None
    asked: int | None = None
