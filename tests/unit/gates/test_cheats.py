"""Cheats × profiles of `orchestrator.gates`: each is rejected or reported; honest changes are not.

`CHEATS=all` runs the gates for each cheat; without it, a cheat whose text is a finding is not run.
"""

from __future__ import annotations

import shutil

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.cheats import node_and_go, python
from tests.unit.gates.cheats.judging import PROFILES, RUNS_ALL, Case, Judge

CHEATS = [*python.CHEATS, *node_and_go.CHEATS]
HONEST = [*python.HONEST, *node_and_go.HONEST]

#: What a profile does not guarantee, as the table of docs/gates.md says. No cheat of the table of
#: this test is in it at present.
NOT_GUARANTEED: frozenset[str] = frozenset()


@pytest.fixture(scope="session")
def judge(tmp_path_factory) -> Judge:
    if not (shutil.which("go") and shutil.which("node")):
        pytest.skip("needs go and node")
    return Judge.build(tmp_path_factory.mktemp("cheats"))


def ids(cases: list[Case]) -> list[str]:
    return [case.id for case in cases]


def test_the_matrix_is_as_large_as_the_page_says():
    assert len(CHEATS) >= 120
    assert len(set(ids(CHEATS))) == len(CHEATS)
    assert len(HONEST) >= 20
    assert all(case.changes() for case in [*CHEATS, *HONEST])


@pytest.mark.parametrize("case", CHEATS, ids=ids(CHEATS))
def test_a_cheat_is_rejected_or_reported(judge, case):
    if not RUNS_ALL and judge.by_text(case):
        # The text alone is a finding: strict rejects it, standard reports it.
        return
    for profile in PROFILES if RUNS_ALL else PROFILES[:1]:
        report = judge.report(case, profile)
        is_seen = not report.approved or bool(report.findings)
        assert is_seen or case.id in NOT_GUARANTEED, report
        assert not (report.approved and profile is GateProfile.STRICT), report


@pytest.mark.parametrize("case", HONEST, ids=ids(HONEST))
def test_an_honest_change_draws_no_finding(judge, case):
    report = judge.report(case, GateProfile.STRICT)
    assert report.approved, report
    assert not report.findings
