"""Planned gates and their runs, as the second judge compares them. No program runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.gates.checks._counts import Counts
from orchestrator.gates.outcomes import Outcome, Outcomes
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import GateResult, GateStatus, Stage
from orchestrator.stages.gate_check import base_tests
from orchestrator.stages.gate_check.gate_trace import Reads


def gate(name="tests", command: str | None = "pytest", folder="", script="") -> PlannedGate:
    return PlannedGate(name, Stage.PRE_COMMIT, command, 60, folder=folder, script=script)


def run(
    status=GateStatus.PASSED,
    tests: Mapping[str, Outcome] | None = None,
    ran: int | None = None,
    *,
    detail="",
    has_ended=True,
    reads: Iterable[str] = (),
) -> base_tests.TestRun:
    """A run with the outcomes of `tests`, or with the number of those that ran."""
    return base_tests.TestRun(
        GateResult(name="tests", status=status, command="x", duration_ms=1, detail=detail),
        outcomes=None if tests is None else Outcomes(tests, has_ended),
        counts=None if ran is None else Counts(passed=ran),
        reads=Reads(frozenset(reads)),
    )
