"""The records of gates: profiles, results, reports, verdicts."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from orchestrator.models.model_choice import FallbackRecord
from orchestrator.models.record import Record
from orchestrator.models.usage import Usage


class GateProfile(StrEnum):
    """The named sets of gates."""

    STRICT = "strict"
    STANDARD = "standard"
    MINIMAL = "minimal"
    CUSTOM = "custom"


class Stage(StrEnum):
    """When a gate runs: before the orchestrator commits the change, or after."""

    PRE_COMMIT = "pre-commit"
    POST_COMMIT = "post-commit"


class GateStatus(StrEnum):
    """The result of one gate; no value means "skipped"."""

    @property
    def is_pass(self) -> bool:
        """Whether this status allows the delivery of the change."""
        return self in (GateStatus.PASSED, GateStatus.NOT_APPLICABLE, GateStatus.RED_BEFORE)

    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    ERRORED = "errored"
    TIMED_OUT = "timed_out"
    #: The repository declares, with a reason, that this gate has nothing to check.
    NOT_APPLICABLE = "not_applicable"
    #: The gate fails on the base commit too, and the change adds no failure (`red_base = compare`).
    RED_BEFORE = "red_before"


class GateResult(Record):
    """The result of one gate, with its evidence."""

    name: str
    status: GateStatus
    command: str | None = None
    duration_ms: int = 0
    exit_code: int | None = None
    detail: str = ""
    output_digest: str | None = None
    #: Tokens of a gate that runs an agent.
    usage: Usage | None = None


class Finding(Record):
    """A fact about the change that a reviewer should know."""

    kind: str
    path: str
    line: int | None = None
    detail: str


class NotJudged(Record):
    """A path of the base commit that no gate of the plan checks, and the reason."""

    #: A file or a folder; empty for the whole repository.
    path: str
    reason: str
    gate: str | None = None
    #: Whether this reason is why the gate is missing from the plan.
    blocks: bool = False


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
    not_judged: tuple[NotJudged, ...] = ()
    #: The backend, model and effort that made the change, and the fallbacks that led to them.
    agent: str | None = None
    model: str | None = None
    effort: str | None = None
    fell_back: tuple[FallbackRecord, ...] | None = None


class Verdict(Record):
    """The decision of all gates, without evidence; the gate reports hold the evidence."""

    approved: bool
    profile: GateProfile
    tree: str
    plan_digest: str
    gates: dict[str, GateStatus] = Field(default_factory=dict)
    #: YOLO_MODE was on: no gate ran.
    yolo: bool = False

    @property
    def red_before(self) -> tuple[str, ...]:
        """The gates that fail on the base too, and whose failures were compared."""
        statuses = self.gates.items()
        return tuple(gate for gate, status in statuses if status is GateStatus.RED_BEFORE)

    @classmethod
    def of(cls, report: GateReport) -> Verdict:
        """Return the verdict of a report that decides alone."""
        return cls(
            approved=report.approved,
            profile=report.profile,
            tree=report.tree,
            plan_digest=report.plan_digest,
            gates={gate.name: gate.status for gate in report.gates},
        )
