"""Cheats of the gate `coverage`: by configuration, by the run itself, by comments.

`CHEATS=all` judges each by both profiles; without it, only the first one by `standard` too.
"""

from __future__ import annotations

import pytest

from orchestrator.models import GateProfile, GateStatus
from tests.unit.gates.cheats import coverage
from tests.unit.gates.cheats.judging import Case, Judge, profiles_of


@pytest.fixture(scope="session")
def judge(tmp_path_factory) -> Judge:
    return Judge.build(tmp_path_factory.mktemp("coverage"), "coverage")


def ids(cases: list[Case]) -> list[str]:
    return [case.id for case in cases]


@pytest.mark.parametrize("case", coverage.CONFIGURED, ids=ids(coverage.CONFIGURED))
def test_the_base_measures_too_and_what_it_measures_is_told(judge, case):
    for profile in profiles_of(case, coverage.CONFIGURED):
        report = judge.report(case, profile)
        found = [finding for finding in report.findings if finding.kind == "base-coverage"]
        assert [gate.status for gate in report.gates] == [GateStatus.PASSED], report
        assert found, report
        assert "% < 85 %" in found[0].detail
        assert report.approved is (profile is GateProfile.STANDARD)


@pytest.mark.parametrize("case", coverage.REWRITTEN, ids=ids(coverage.REWRITTEN))
def test_what_the_run_writes_does_not_decide(judge, case):
    (gate,) = judge.report(case, GateProfile.STANDARD).gates
    assert gate.status in {GateStatus.FAILED, GateStatus.ERRORED}, gate


@pytest.mark.parametrize("case", coverage.EXCLUDED, ids=ids(coverage.EXCLUDED))
def test_no_spelling_of_an_exclusion_is_missed(judge, case):
    assert "suppression-added" in judge.by_text(case)


@pytest.mark.parametrize("case", coverage.EXCLUDED[-5:], ids=ids(coverage.EXCLUDED[-5:]))
def test_each_of_these_is_an_exclusion_of_the_tool(judge, case):
    (gate,) = judge.report(case, GateProfile.STANDARD).gates
    assert gate.detail == "100 % ≥ 85 %"


def test_a_person_allows_a_configuration(judge):
    case = coverage.CONFIGURED[0]
    report = judge.report(case, GateProfile.STRICT, may_edit=(".coveragerc",))
    assert report.approved, report.gates
    assert all("the request allows" in finding.detail for finding in report.findings)


@pytest.mark.parametrize("case", coverage.HONEST, ids=ids(coverage.HONEST))
def test_an_honest_change_draws_no_finding(judge, case):
    report = judge.report(case, GateProfile.STRICT)
    assert report.approved, report.gates
    assert not report.findings
    (gate,) = report.gates
    assert gate.detail == "100 % ≥ 85 %"
