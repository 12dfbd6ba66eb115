"""The records of agents and tasks, as they stand in Valkey, and what their ends give."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field

from orchestrator.models.conflict import Conflict
from orchestrator.models.gates import GateProfile, Verdict
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


class EgressCounts(Record):
    """Requests of an agent's programs that left its sandbox through the proxy, or did not."""

    allowed: int = 0
    refused: int = 0


class NotSaved(Record):
    """Why the work of an attempt is not stored, and where its workspace stands until it is."""

    attempt: int
    reason: str
    #: The host that has it, and the folder there.
    host: str
    path: str


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
    #: Since when a running agent has said, spent and computed nothing.
    stalled_since: Instant | None = None
    #: Attempts that were lost to a worker, a host or a network, not to the agent.
    recoveries: int = 0
    #: The attempt whose change the next one goes on from: it was rejected, or lost its worker.
    continues_attempt: int | None = None
    #: The attempt whose change the gates judge.
    change_attempt: int | None = None
    yolo: bool | None = None
    usage: Usage = Usage()
    #: Of the latest attempt: lines, parts of lines and fields of its output that could not be read.
    unknown_output: int | None = None
    #: Of the latest attempt, where its only way out is the proxy.
    egress: EgressCounts | None = None
    spawned_at: Instant
    #: Since when it waits in a queue after its first, or waited there last.
    waiting_since: Instant | None = None
    started_at: Instant | None = None
    #: How long its program has run, in seconds, over all attempts.
    ran_s: float = 0.0
    completed_at: Instant | None = None
    worker: str | None = None
    #: What confines its programs: the level of the process sandbox, or another sandbox.
    sandbox: str | None = None
    #: What it waits for before it is claimed, beside its turn.
    waiting_for: str | None = None
    #: `pid:start` of the worker's process that claimed it last.
    worker_process: str | None = None
    session_id: str | None = None
    summary: str | None = None
    base_commit: str | None = None
    branch: str | None = None
    #: The commit on its way out: the remote may hold it although nobody lived to say so.
    pushing: str | None = None
    commit: str | None = None
    #: What a merge into the base branch, as it was at delivery, could not settle.
    conflicts: tuple[Conflict, ...] = ()
    #: Commits that are kept and stand outside the captured tree: branches, stashes, worktrees.
    retained: tuple[Retained, ...] | None = None
    #: What the last capture left out, by reason.
    left_out: tuple[LeftOut, ...] | None = None
    #: What its last round had begun in its repository and not ended.
    unfinished: tuple[str, ...] | None = None
    #: The pull or merge request, or why there is none.
    request_url: str | None = None
    request_error: str | None = None
    verdict: Verdict | None = None
    error: str | None = None
    error_code: str | None = None
    #: Work that an attempt left and that could not be stored; gone once it is.
    not_saved: NotSaved | None = None

    @property
    def fence(self) -> dict[str, Any]:
        """What fences a write of this attempt: its number, and who holds it."""
        names = ("attempt", "worker", "worker_process")
        return {name: getattr(self, name) for name in names}


class PartialRecord(Record):
    """What has to be known of an agent even where its record is one that no version here writes."""

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
    """What `AsyncResult(agentId).get()` and `orch spawn --wait` give: the end of an agent."""

    agent_id: str
    task_id: str | None = None
    status: Status
    branch: str | None = None
    commit: str | None = None
    verdict: Verdict | None = None
    usage: Usage = Usage()
    retained: tuple[Retained, ...] | None = None
    error: str | None = None
    error_code: str | None = None

    @classmethod
    def of(cls, state: AgentState) -> Outcome:
        """Take the outcome out of an agent's state."""
        return cls(**{name: getattr(state, name) for name in cls.model_fields})
