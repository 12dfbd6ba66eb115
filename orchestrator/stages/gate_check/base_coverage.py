"""Coverage by the base's configuration: the change's tests on its sources, measured as before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from orchestrator.gates.check_files import CheckFile
from orchestrator.gates.gate_files import KIND
from orchestrator.host.cancel_scope import side_by_side
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import Finding, GateStatus
from orchestrator.stages.gate_check.base_tests import TestRun

#: What decides how coverage is measured, apart from tests.
_DECIDING = frozenset({CheckFile.CONFIG, CheckFile.PROGRAM, CheckFile.LOADED})
_DETAIL_CHARACTERS = 200


def measuring_files(judged: Mapping[str, CheckFile], findings: Iterable[Finding]) -> frozenset[str]:
    """Return the changed files that decide how coverage is measured.

    A `conftest.py` is not among them: new tests need its new fixtures.
    """
    known = {path for path, kind in judged.items() if kind in _DECIDING}
    traced = {finding.path for finding in findings if finding.kind == KIND}
    return frozenset(path for path in known | traced if PurePosixPath(path).name != "conftest.py")


def base_coverage(
    runs: Sequence[tuple[PlannedGate, TestRun]],
    restored: frozenset[str],
    run_on: Callable[[PlannedGate], TestRun],
) -> Iterator[Finding]:
    """Yield a finding for each passed measurement that does not pass as the base would measure.

    `run_on` runs a gate on the change with the `restored` files of the base.
    """
    passed = [
        gate
        for gate, run in runs
        if gate.name == "coverage" and gate.command and run.result.status is GateStatus.PASSED
    ]
    if not restored:
        return
    for run in side_by_side(run_on, passed):
        if run.result.status is not GateStatus.PASSED:
            said = (run.result.detail.splitlines() or ["-"])[0][:_DETAIL_CHARACTERS]
            status = run.result.status.value.replace("_", " ")
            detail = f"coverage with the base's configuration: {status}, {said}"
            yield Finding(kind="base-coverage", path=min(restored), detail=detail)
