"""The bodies that only HTTP has: what requests may carry and what answers are made of."""

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
    """What `GET /agents` may be asked."""

    status: Status | None = None
    agent_type: AgentType | None = None
    task_id: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=agent_list.MAX_LIMIT)] = 50
    cursor: str = ""
    #: Beside the agents, what those that need somebody need: agentId → Attention.
    attention: bool = False


class LogQuery(Record):
    """What `GET /agents/{agentId}/logs` may be asked; a cursor is the id of the last line seen."""

    cursor: StreamId = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 500


class EventsQuery(Record):
    """Where to go on, for a client that cannot send Last-Event-ID."""

    cursor: StreamId = ""


class Because(Record):
    """Why something is done, for the audit."""

    reason: Reason = ""


class KillBody(Because):
    """How to kill."""

    #: How long to wait for the proof, in seconds.
    timeout: Annotated[float, Field(ge=0, le=300)] = TIMEOUT_S
    #: Do not save what was changed.
    discard: bool = False


class KillAllBody(KillBody, KillScope):
    """How to kill, and whom; without a filter every active agent is meant."""


class RetryBody(Because):
    """How to spawn an agent again."""

    #: Start from the branch, not from what was changed.
    afresh: bool = False


# ── answered ────────────────────────────────────────────────────────────────────────────────


class HealthBody(Record):
    """This process answers."""

    status: str
    uptime: float
    timestamp: Instant


class Readiness(Record):
    """Whether an agent spawned now would run; a check is `ok` or what it found."""

    ready: bool
    checks: dict[str, str]


class Spawned(Record):
    """The agent of a request."""

    agent_id: str
    status: Status


class AgentList(Record):
    """A page of agents, newest first."""

    agents: tuple[AgentState, ...]
    next_cursor: str | None = None
    #: Where it is asked for: what those need that need somebody, by agentId.
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
    """What was done."""

    message: str


class QueueList(Record):
    """Every queue."""

    queues: tuple[QueueState, ...]


class QueueSwitched(Record):
    """A queue after it was paused or resumed."""

    name: str
    is_paused: bool


class TimedEvent(LifecycleEvent):
    """An event, and its id in the stream."""

    id: str


class Timeline(Record):
    """What happened to an agent and what was done to it, each oldest first."""

    events: tuple[TimedEvent, ...]
    audit: tuple[AuditEntry, ...]


class Fault(Record):
    """One fault of a request, and where it is."""

    path: str
    message: str


class Problem(Record):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] = ()
    #: Of a budget that is used up, in tokens.
    limit: int | None = None
    used: int | None = None
    reserved: int | None = None
    asked: int | None = None
