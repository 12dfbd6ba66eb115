"""The records of gates: profiles, results, reports, verdicts."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from orchestrator.models.record import Record
from orchestrator.models.usage import Usage


class GateProfile(StrEnum):
    """The named sets of gates."""

    STRICT = "strict"
    STANDARD = "standard"
    MINIMAL = "minimal"
    CUSTOM = "custom"


class Stage(StrEnum):
    """When a gate runs: before the one commit is made, or after."""

    PRE_COMMIT = "pre-commit"
    POST_COMMIT = "post-commit"


class GateStatus(StrEnum):
    """How one gate ended; there is no skipped."""

    @property
    def is_pass(self) -> bool:
        """Whether the gate lets the change through."""
        return self in (GateStatus.PASSED, GateStatus.NOT_APPLICABLE)

    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    ERRORED = "errored"
    TIMED_OUT = "timed_out"
    #: The repository says, with a reason, that it has nothing for this gate to judge.
    NOT_APPLICABLE = "not_applicable"


class GateResult(Record):
    """One gate's evidence."""

    name: str
    status: GateStatus
    command: str | None = None
    duration_ms: int = 0
    exit_code: int | None = None
    detail: str = ""
    output_digest: str | None = None
    #: Tokens of a gate that is an agent itself.
    usage: Usage | None = None


class Finding(Record):
    """Something a reviewer should know about the change."""

    kind: str
    path: str
    line: int | None = None
    detail: str


class NotJudged(Record):
    """Something that stands in the base commit and that no gate of a plan judges, and why."""

    #: A file or a folder; empty for the whole repository.
    path: str
    reason: str
    gate: str | None = None
    #: Whether the gate is missing for this reason.
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


class Verdict(Record):
    """What the gates decided, in one glance; the reports hold the evidence."""

    approved: bool
    profile: GateProfile
    tree: str
    plan_digest: str
    gates: dict[str, GateStatus] = Field(default_factory=dict)
    #: Nobody looked: YOLO_MODE was on.
    yolo: bool = False

    @classmethod
    def of(cls, report: GateReport) -> Verdict:
        """Take the verdict of a report that decides alone."""
        return cls(
            approved=report.approved,
            profile=report.profile,
            tree=report.tree,
            plan_digest=report.plan_digest,
            gates={gate.name: gate.status for gate in report.gates},
        )
