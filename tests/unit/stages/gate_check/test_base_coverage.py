"""Which files decide how coverage is measured, and what a second measurement says."""

from __future__ import annotations

import pytest

from orchestrator.gates.check_files import CheckFile
from orchestrator.gates.gate_files import KIND
from orchestrator.models import Finding, GateStatus
from orchestrator.stages.gate_check.base_coverage import base_coverage, measuring_files
from tests.unit.stages.gate_check.runs import gate, run


def test_configuration_programs_and_files_that_a_gate_read_decide_how_coverage_is_measured():
    judged = {
        ".coveragerc": CheckFile.CONFIG,
        "run.sh": CheckFile.PROGRAM,
        "a.pth": CheckFile.LOADED,
        "tests/test_a.py": CheckFile.TEST,
        "a.pyc": CheckFile.MADE,
        "tests/conftest.py": CheckFile.CONFIG,
    }
    findings = [
        Finding(kind=KIND, path="traced.json", detail=""),
        Finding(kind="test-lost", path="b.py", detail=""),
    ]
    assert measuring_files(judged, findings) == {".coveragerc", "run.sh", "a.pth", "traced.json"}


@pytest.mark.parametrize(
    ("of", "status", "restored", "is_asked"),
    [
        (gate("coverage"), GateStatus.PASSED, {".coveragerc"}, True),
        (gate("coverage"), GateStatus.PASSED, set(), False),
        (gate("coverage"), GateStatus.FAILED, {".coveragerc"}, False),
        (gate("tests"), GateStatus.PASSED, {".coveragerc"}, False),
        (gate("coverage", None), GateStatus.PASSED, {".coveragerc"}, False),
    ],
)
def test_only_a_passed_measurement_of_another_configuration_is_repeated(
    of, status, restored, is_asked
):
    asked = []
    found = base_coverage(
        [(of, run(status))], frozenset(restored), lambda one: asked.append(one) or run()
    )
    assert list(found) == []
    assert asked == ([of] if is_asked else [])


@pytest.mark.parametrize(
    ("detail", "said"), [("55 % < 80 %\nmore", "55 % < 80 %"), ("", "-"), ("y" * 300, "y" * 200)]
)
def test_a_measurement_that_the_base_would_not_pass_is_a_finding_at_the_first_file(detail, said):
    restored = frozenset({"b.ini", "a.ini"})
    (found,) = base_coverage(
        [(gate("coverage"), run())], restored, lambda _: run(GateStatus.TIMED_OUT, detail=detail)
    )
    assert (found.kind, found.path) == ("base-coverage", "a.ini")
    assert found.detail == f"coverage with the base's configuration: timed out, {said}"
