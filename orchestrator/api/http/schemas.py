"""The bodies and queries that only HTTP has."""

from __future__ import annotations

from typing import Annotated, Literal

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
    Receipt,
    Record,
    Status,
    TaskState,
)
from orchestrator.models.attention import Attention
from orchestrator.models.identifiers import AGENT_ID
from orchestrator.models.offered import OfferedModels
from orchestrator.queries import agent_list

StreamId = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,19}-[0-9]{1,19})?$")]
AGENT_ID_PATTERN = f"^{AGENT_ID.pattern}$"
Reason = Annotated[str, StringConstraints(max_length=1000)]

# ── asked ───────────────────────────────────────────────────────────────────────────────────


class AgentsQuery(Record):
    """The query of `GET /agents`."""

    status: Status | None = None
    agent_type: AgentType | None = None
    task_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=agent_list.MAX_LIMIT)] = 50
    cursor: str = ""
    #: An address, or the end of it such as `group/shop`.
    repository: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    #: The error code of the end.
    code: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")] | None = None
    #: Only agents that were spawned at or after this instant.
    since: Instant | None = None
    #: Whether to list only agents that need attention, the most urgent first.
    urgent: bool = False
    #: Whether the page includes `attention` of the agents that need it.
    attention: bool = False
    #: Whether the page includes `receipts` of the agents that were killed.
    receipts: bool = False


class LogQuery(Record):
    """The query of `GET /agents/{agentId}/logs`; a cursor is the id of the last line received."""

    cursor: StreamId = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 500
    #: Only the last lines, whatever the cursor and the limit are.
    tail: Annotated[int, Field(ge=1, le=1000)] | None = None


class ChangeQuery(Record):
    """The query of `GET /agents/{agentId}/diff`."""

    #: A retained commit beside the change, as `retained` of the state names it.
    ref: Annotated[str, StringConstraints(max_length=1000)] = ""


class ExportQuery(ChangeQuery):
    """The query of `GET /agents/{agentId}/export`."""

    #: A git bundle to fetch from, or a patch for `git apply`.
    format: Literal["bundle", "patch"] = "bundle"


class AuditQuery(Record):
    """The query of `GET /audit`."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    #: Only entries about this agent.
    agent_id: Annotated[str, StringConstraints(pattern=AGENT_ID_PATTERN)] | None = None
    #: Only entries before this one.
    before: Annotated[int, Field(ge=1)] | None = None


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


class ResumeBody(Record):
    """The reason of a resume, which is required."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class AcknowledgeBody(Because):
    """The options of an acknowledgement."""

    #: How long it holds, in seconds; without it until the retention of the agent ends.
    for_s: Annotated[float, Field(gt=0, le=366 * 86_400)] | None = None
    #: Whether to withdraw it.
    withdraw: bool = False


class KillAllBody(KillBody, KillScope):
    """The options and the scope of a kill of several agents; without a filter all active ones."""


class RetryBody(Because):
    """The options of a retry."""

    #: Whether to start from the branch instead of the retained change.
    afresh: bool = False
    #: Added to `mayEdit` of the request.
    may_edit: tuple[PathPattern, ...] = ()


class LoginBody(Record):
    """The code of a login address."""

    code: str


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


class LoggedIn(Record):
    """The API key of a login; absent if requests need no key."""

    key: str | None = None


class Spawned(Record):
    """The agent of a spawn request."""

    agent_id: str
    status: Status


class Acknowledged(Record):
    """Whether the reason of an agent is acknowledged now."""

    agent_id: str
    acknowledged: bool
    until: Instant | None = None


class AgentList(Record):
    """A page of agents, newest first."""

    agents: tuple[AgentState, ...]
    next_cursor: str | None = None
    #: agentId → its attention, if the query requests it.
    attention: dict[str, Attention] = Field(default_factory=dict)
    #: agentId → the receipt of its kill, if the query requests it.
    receipts: dict[str, Receipt] = Field(default_factory=dict)


class ModelList(Record):
    """Every agent backend, and what it offers."""

    backends: tuple[OfferedModels, ...]


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


class HaltSwitched(Record):
    """The halt after a request to halt or resume."""

    halted: bool
    #: Whether Valkey has written the halt to its disk.
    on_disk: bool | None = None
    #: The agents that waited for the resume.
    waiting: int | None = None


class AuditPage(Record):
    """Entries of the audit, oldest first."""

    entries: tuple[AuditEntry, ...]
    #: `before` of the page with older entries.
    next_before: int | None = None


class DriftBody(Record):
    """One inconsistency."""

    kind: str
    subject: str
    detail: str


class DriftList(Record):
    """What fsck finds on the host of this process; nothing is repaired."""

    drifts: tuple[DriftBody, ...]
    left: int


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
