"""The records every room shares: frozen, closed pydantic models with camelCase wire names."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from orchestrator.errors import RequestInvalid
from orchestrator.names import Branch, Identifier, Repository


def iso_instant(instant: datetime) -> str:
    """Render an instant as the contract does: ISO 8601 UTC, milliseconds, ending in `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[AwareDatetime, PlainSerializer(iso_instant, return_type=str)]


class Record(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    def wire(self) -> dict[str, Any]:
        """Return the JSON object of this record; absent and empty values are left out.

        Empty ones too, because Lua's cjson cannot tell an empty list from an empty object.
        """
        return _without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    kept = {
        name: _without_empty(value) if isinstance(value, dict) else value
        for name, value in document.items()
    }
    return {name: value for name, value in kept.items() if value not in ([], {})}


class Status(StrEnum):
    """The five states of an agent."""

    SPAWNING = "spawning"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    KILLED = "killed"


class Phase(StrEnum):
    """Where inside its state an agent is."""

    QUEUED = "queued"
    PREPARING = "preparing"
    EXECUTING = "executing"
    CAPTURING = "capturing"
    AWAITING_GATES = "awaiting-gates"
    GATING = "gating"
    AWAITING_REWORK = "awaiting-rework"
    DELIVERING = "delivering"
    ENDED = "ended"
    CLEANED = "cleaned"


class TaskStatus(StrEnum):
    """The five states of a task."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"


class AgentType(StrEnum):
    """What an agent is asked to be."""

    WORKER = "worker"
    REVIEWER = "reviewer"
    TESTER = "tester"


class GateProfile(StrEnum):
    """The named sets of gates."""

    STRICT = "strict"
    STANDARD = "standard"
    MINIMAL = "minimal"
    CUSTOM = "custom"


DEFAULT_PROFILE = {
    AgentType.REVIEWER: GateProfile.STRICT,
    AgentType.WORKER: GateProfile.STANDARD,
    AgentType.TESTER: GateProfile.MINIMAL,
}

WorkItem = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=65_536)]


class SpawnContext(Record):
    """What the agent works on."""

    repository: Repository
    branch: Branch
    work_items: Annotated[tuple[WorkItem, ...], Field(min_length=1, max_length=100)]
    skills: Annotated[tuple[Identifier, ...], Field(max_length=100)] = ()


class SpawnRequest(Record):
    """The body of a spawn, whichever door it came through."""

    task_id: Identifier
    agent_type: AgentType
    context: SpawnContext
    gate_profile: GateProfile | None = None
    priority: Annotated[int, Field(strict=True, ge=1, le=10)] = 5
    max_retries: Annotated[int, Field(strict=True, ge=0, le=100)] = 3
    agent: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] | None = None
    gates: tuple[Identifier, ...] = ()

    @model_validator(mode="after")
    def _gates_belong_to_custom(self) -> Self:
        if (self.gate_profile is GateProfile.CUSTOM) != bool(self.gates):
            msg = "gates: must be given with gateProfile custom, and only then"
            raise ValueError(msg)
        return self

    @property
    def profile(self) -> GateProfile:
        """The gate profile asked for, or the default of the agent's type."""
        return self.gate_profile or DEFAULT_PROFILE[self.agent_type]

    @classmethod
    def parse(cls, document: object) -> SpawnRequest:
        """Parse an untrusted document.

        Raises:
            RequestInvalid: with every fault and its path.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise RequestInvalid(faults_of(error)) from error


def faults_of(error: ValidationError) -> tuple[tuple[str, str], ...]:
    """Return `(path, message)` for every fault; the faulty values themselves stay out."""
    return tuple(
        (
            ".".join(str(part) for part in fault["loc"]) or "body",
            fault["msg"].removeprefix("Value error, "),
        )
        for fault in error.errors(include_url=False, include_input=False)
    )


class Usage(Record):
    """Tokens spent, as the backend reported them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None

    def plus(self, other: Usage) -> Usage:
        """Add what a later round spent; a resumed session's cost already holds the earlier."""
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in type(self).model_fields
            if name != "cost_usd"
        }
        cost_usd = self.cost_usd if other.cost_usd is None else other.cost_usd
        return Usage(**sums, cost_usd=cost_usd)


class Stage(StrEnum):
    """When a gate runs: before the one commit is made, or after."""

    PRE_COMMIT = "pre-commit"
    POST_COMMIT = "post-commit"


class GateStatus(StrEnum):
    """How one gate ended; there is no skipped."""

    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    ERRORED = "errored"
    TIMED_OUT = "timed_out"


class GateResult(Record):
    """One gate's evidence."""

    name: str
    status: GateStatus
    command: str | None = None
    duration_ms: int = 0
    exit_code: int | None = None
    detail: str = ""
    output_digest: str | None = None


class Finding(Record):
    """Something a reviewer should know about the change."""

    kind: str
    path: str
    line: int | None = None
    detail: str


class GateReport(Record):
    """The verdict on exactly one tree under exactly one plan, with its evidence."""

    agent_id: str
    attempt: int
    stage: Stage
    profile: GateProfile
    tree: str
    plan_digest: str
    approved: bool
    gates: tuple[GateResult, ...] = ()
    findings: tuple[Finding, ...] = ()


class Verdict(Record):
    """What the gates decided, in one glance; the reports hold the evidence."""

    approved: bool
    profile: GateProfile
    tree: str
    plan_digest: str
    gates: dict[str, GateStatus] = {}
    #: Nobody looked: YOLO_MODE was on.
    yolo: bool = False


class AgentState(Record):
    """One agent, as stored under `orchestrator:agent:{agentId}`."""

    agent_id: str
    task_id: str
    status: Status
    phase: Phase
    agent_type: AgentType
    agent: str
    repository: str
    base_branch: str
    gate_profile: GateProfile
    priority: int
    max_retries: int
    attempt: int
    rounds: int = 0
    #: The attempt whose change was rejected last: the next round goes on from it.
    rejected_attempt: int | None = None
    yolo: bool | None = None
    usage: Usage = Usage()
    spawned_at: Instant
    started_at: Instant | None = None
    completed_at: Instant | None = None
    worker: str | None = None
    session_id: str | None = None
    summary: str | None = None
    base_commit: str | None = None
    branch: str | None = None
    commit: str | None = None
    verdict: Verdict | None = None
    error: str | None = None
    error_code: str | None = None


class TaskState(Record):
    """One task, as stored under `orchestrator:task:{taskId}`."""

    task_id: str
    status: TaskStatus
    agent_id: str
    context: SpawnContext
    created_at: Instant
    updated_at: Instant
    completed_at: Instant | None = None
    error: str | None = None


class Outcome(Record):
    """What `AsyncResult(agentId).get()` and `orch spawn --wait` give: the end of an agent."""

    agent_id: str
    task_id: str | None = None
    status: Status
    branch: str | None = None
    commit: str | None = None
    verdict: Verdict | None = None
    usage: Usage = Usage()
    error: str | None = None
    error_code: str | None = None

    @classmethod
    def of(cls, state: AgentState) -> Outcome:
        """Take the outcome out of an agent's state."""
        return cls(**{name: getattr(state, name) for name in cls.model_fields})


class LifecycleEvent(Record):
    """One line of the event stream."""

    type: str
    timestamp: Instant
    agent_id: str
    task_id: str | None = None
    status: Status | None = None
    phase: Phase | None = None
    attempt: int | None = None
    yolo: bool | None = None
    error: str | None = None
    error_code: str | None = None


class LogLine(Record):
    """One line of an agent's output; `text` is untrusted data."""

    id: str = ""
    at: Instant
    source: str
    text: str
