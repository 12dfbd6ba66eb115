"""What a report says of secrets, and that it contains none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orchestrator.models import (
    Finding,
    GateProfile,
    GateReport,
    GateResult,
    GateStatus,
    SecretFinding,
    Stage,
)
from orchestrator.stages.gate_check.secrets import SecretFindings, without_secrets
from tests.doubles.secret_maker import Maker

SECRET = Maker(1).fill("ghp_{c30}")[0]


def report(detail: str, found: str) -> GateReport:
    return GateReport(
        agent_id="a-1",
        attempt=1,
        stage=Stage.PRE_COMMIT,
        profile=GateProfile.STANDARD,
        tree="f" * 40,
        plan_digest="d",
        approved=False,
        gates=(GateResult(name="tests", status=GateStatus.FAILED, detail=detail),),
        findings=(Finding(kind="test-lost", path="a", detail=found),),
    )


def test_neither_the_output_of_a_gate_nor_a_finding_shows_a_secret():
    shown = without_secrets(report(f"token {SECRET}", f"test_{SECRET} is gone"))
    assert SECRET not in shown.model_dump_json()
    assert "[secret:" in shown.gates[0].detail
    assert "[secret:" in shown.findings[0].detail


def test_a_report_without_secrets_stays_as_it_is():
    assert without_secrets(report("", "x")) == report("", "x")
    assert without_secrets(report("3 failed", "x")) == report("3 failed", "x")


@pytest.mark.parametrize(("commit", "said"), [("a" * 40, "a" * 12), (None, "-")])
def test_a_secret_is_told_by_its_commit_and_place(commit, said):
    found = SecretFinding(rule="token", commit=commit, file="a.py", line=3, fingerprint="f1")
    agent = SimpleNamespace(agent_id="a-1", attempt=1, gate_profile=GateProfile.STRICT)
    candidate = SimpleNamespace(tree="f" * 40)
    made = SecretFindings(candidates=None, scanner=None).report(agent, candidate, (found,))
    (finding,) = made.findings
    assert (finding.kind, finding.path, finding.line) == ("secret:token", "a.py", 3)
    assert finding.detail == f"commit {said}, fingerprint f1"
    assert not made.approved
