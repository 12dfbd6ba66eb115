"""Cheats by files that only a trace of the gate's run shows; the honest edits of the same shape.

`CHEATS=all` judges each by both profiles; without it, only the first one by `standard` too.
"""

from __future__ import annotations

import shutil

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.cheats import traced
from tests.unit.gates.cheats.judging import Case, Judge, profiles_of

KIND = "gate-file-changed"


@pytest.fixture(scope="session")
def judge(tmp_path_factory) -> Judge:
    if not (shutil.which("go") and shutil.which("node")):
        pytest.skip("needs go and node")
    return Judge.build(tmp_path_factory.mktemp("traced"))


def ids(cases: list[Case]) -> list[str]:
    return [case.id for case in cases]


@pytest.mark.parametrize("case", traced.CHEATS, ids=ids(traced.CHEATS))
def test_the_gates_file_is_told_by_standard_and_rejected_by_strict(judge, case):
    (path,) = [path for path in case.edits if not path.startswith("calc.")]
    for profile in profiles_of(case, traced.CHEATS):
        report = judge.report(case, profile)
        assert all(gate.status.is_pass for gate in report.gates), report
        found = {finding.path: finding.kind for finding in report.findings if finding.kind == KIND}
        assert found == {path: KIND}, report
        assert report.approved is (profile is GateProfile.STANDARD)
        assert not report.not_judged


@pytest.mark.parametrize("case", traced.ALLOWED, ids=ids(traced.ALLOWED))
def test_a_person_lets_the_same_edit_through(judge, case):
    (path,) = case.edits
    report = judge.report(case, GateProfile.STRICT, may_edit=(path, "tests/*"))
    assert {finding.kind for finding in report.findings} >= {KIND}
    assert all("the request allows" in finding.detail for finding in report.findings), report
    assert report.approved


@pytest.mark.parametrize("case", traced.HONEST, ids=ids(traced.HONEST))
def test_an_honest_change_draws_no_finding(judge, case):
    report = judge.report(case, GateProfile.STRICT)
    assert report.approved, report
    assert not report.findings
