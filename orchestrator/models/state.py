"""The records of agents and tasks as Valkey stores them, and the outcome of an agent."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field

from orchestrator.models.conflict import Conflict
from orchestrator.models.gates import GateProfile, Verdict
from orchestrator.models.model_choice import FallbackRecord, ModelChoice
from orchestrator.models.record import Instant, Record
from orchestrator.models.request import AgentType, SpawnContext
from orchestrator.models.retained import LeftOut, Retained
from orchestrator.models.usage import Usage


class Status(StrEnum):
    """The five states of an agent."""

    SPAWNING = "spawning"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    KILLED = "killed"


class Phase(StrEnum):
    """The step of an agent within its state."""

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


class EgressCounts(Record):
    """Requests of an agent's programs that the egress proxy passed or refused."""

    allowed: int = 0
    refused: int = 0


class NotSaved(Record):
    """Why the change of an attempt is not stored, and where its workspace is until then."""

    attempt: int
    reason: str
    #: The host, and the folder on it.
    host: str
    path: str


class AgentState(Record):
    """One agent, as stored under `orchestrator:agent:{agentId}`."""

    agent_id: str
    task_id: str
    status: Status
    phase: Phase
    agent_type: AgentType
    #: The present backend, model and effort; a fallback changes them.
    agent: str
    model: str | None = None
    effort: str | None = None
    #: For a request with `fallback`: the first choice and the fallbacks, in their order.
    choices: tuple[ModelChoice, ...] = ()
    #: The present one of them; None for the first.
    choice: int | None = None
    #: The latest fallbacks, oldest first.
    fell_back: tuple[FallbackRecord, ...] | None = None
    repository: str
    base_branch: str
    gate_profile: GateProfile
    priority: int
    max_retries: int
    attempt: int
    rounds: int = 0
    #: Since when a running agent has had no output, tokens or processor time.
    stalled_since: Instant | None = None
    #: Attempts that were lost with a worker, a host or a network; the agent did not fail.
    recoveries: int = 0
    #: The attempt whose change the next attempt continues from: it was rejected or lost its worker.
    continues_attempt: int | None = None
    #: The attempt whose change the gates check.
    change_attempt: int | None = None
    yolo: bool | None = None
    usage: Usage = Usage()
    #: The limit of its cost that the request names.
    max_cost_usd: float | None = None
    #: For the latest attempt: lines, parts of lines and fields of the output that were unreadable.
    unknown_output: int | None = None
    #: For the latest attempt, if the egress proxy is its only network.
    egress: EgressCounts | None = None
    spawned_at: Instant
    #: Since when, or when last, the agent has waited in a queue after its first.
    waiting_since: Instant | None = None
    started_at: Instant | None = None
    #: The run time of its program in seconds, over all attempts.
    ran_s: float = 0.0
    completed_at: Instant | None = None
    worker: str | None = None
    #: The level of the process sandbox that confines its programs, or another sandbox.
    sandbox: str | None = None
    #: The condition it waits for before it is claimed, besides its turn.
    waiting_for: str | None = None
    #: `pid:start@machine.boot` of the worker process that claimed it last.
    worker_process: str | None = None
    session_id: str | None = None
    #: The backend of that session, if a fallback has changed the backend since.
    session_agent: str | None = None
    summary: str | None = None
    base_commit: str | None = None
    branch: str | None = None
    #: The commit of a delivery that began: the remote may hold it although no worker reported so.
    pushing: str | None = None
    commit: str | None = None
    #: The conflicts of a merge into the base branch at the time of delivery.
    conflicts: tuple[Conflict, ...] = ()
    #: Retained commits outside the captured tree: branches, stashes, worktrees.
    retained: tuple[Retained, ...] | None = None
    #: The attempt whose bundle has them, except those that name another attempt.
    retained_attempt: int | None = None
    #: The paths and commits that its captures left out, by attempt and reason.
    left_out: tuple[LeftOut, ...] | None = None
    #: Git operations that its last rework round began and did not finish.
    unfinished: tuple[str, ...] | None = None
    #: The pull or merge request, or why there is none.
    request_url: str | None = None
    request_error: str | None = None
    verdict: Verdict | None = None
    error: str | None = None
    error_code: str | None = None
    #: The work of an attempt that could not be stored; removed once it is stored.
    not_saved: NotSaved | None = None

    @property
    def current(self) -> ModelChoice:
        """The present choice of backend, model and effort."""
        return ModelChoice(agent=self.agent, model=self.model, effort=self.effort)

    @property
    def all_choices(self) -> tuple[ModelChoice, ...]:
        """The first choice and its fallbacks, in their order."""
        return self.choices or (self.current,)

    @property
    def fence(self) -> dict[str, Any]:
        """What fences a write of this attempt: its number, and who holds it."""
        names = ("attempt", "worker", "worker_process")
        return {name: getattr(self, name) for name in names}


class PartialRecord(Record):
    """The fields of an agent that are needed even if this version cannot read its record."""

    model_config = ConfigDict(extra="ignore")

    agent_id: str
    task_id: str = ""
    status: str = "unknown"
    phase: str = "unknown"
    attempt: int = 0
    priority: int = Field(5, ge=1, le=10)
    agent_type: str | None = None
    repository: str | None = None
    worker: str | None = None


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
    """The result of `AsyncResult(agentId).get()` and `orch spawn --wait`: the end of an agent."""

    agent_id: str
    task_id: str | None = None
    status: Status
    #: The last backend, model and effort, and the fallbacks that led to them.
    agent: str | None = None
    model: str | None = None
    effort: str | None = None
    fell_back: tuple[FallbackRecord, ...] | None = None
    branch: str | None = None
    commit: str | None = None
    verdict: Verdict | None = None
    usage: Usage = Usage()
    retained: tuple[Retained, ...] | None = None
    error: str | None = None
    error_code: str | None = None

    @classmethod
    def of(cls, state: AgentState) -> Outcome:
        """Return the outcome of an agent's state."""
        return cls(**{name: getattr(state, name) for name in cls.model_fields})
