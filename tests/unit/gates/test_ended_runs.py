"""Sources that end the test runner: what its records miss is found, by `standard` too."""

from __future__ import annotations

import shutil

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.cheats import ended
from tests.unit.gates.cheats.judging import Case, Judge

KINDS = {"test-lost"}


@pytest.fixture(scope="session")
def judge(tmp_path_factory) -> Judge:
    if not (shutil.which("go") and shutil.which("node")):
        pytest.skip("needs go and node")
    return Judge.build(tmp_path_factory.mktemp("ended"))


def ids(cases: list[Case]) -> list[str]:
    return [case.id for case in cases]


@pytest.mark.parametrize("case", ended.SEEN, ids=ids(ended.SEEN))
def test_standard_reports_a_run_without_the_bases_tests(judge, case):
    report = judge.report(case, GateProfile.STANDARD)
    assert all(gate.status.is_pass for gate in report.gates), report
    assert {finding.kind for finding in report.findings} == KINDS, report


@pytest.mark.parametrize("case", ended.SEEN_BY_STRICT, ids=ids(ended.SEEN_BY_STRICT))
def test_strict_runs_the_base_and_sees_that_a_case_is_gone(judge, case):
    assert not judge.report(case, GateProfile.STANDARD).findings
    report = judge.report(case, GateProfile.STRICT)
    assert not report.approved
    assert {finding.kind for finding in report.findings} == KINDS
