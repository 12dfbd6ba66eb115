"""A rejection in words: every failed gate with its numbers, and nothing quoted can pass for us."""

from __future__ import annotations

from orchestrator.gates.feedback import LIMIT_CHARACTERS, feedback
from orchestrator.models import Finding, GateProfile, GateReport, GateResult, GateStatus, Stage


def report(*gates: GateResult, findings: tuple[Finding, ...] = ()) -> GateReport:
    return GateReport(
        agent_id="a1",
        attempt=1,
        stage=Stage.PRE_COMMIT,
        profile=GateProfile.STANDARD,
        tree="0" * 40,
        plan_digest="1" * 64,
        approved=False,
        gates=gates,
        findings=findings,
    )


def failed(name: str, detail: str, status: GateStatus = GateStatus.FAILED) -> GateResult:
    return GateResult(name=name, status=status, command="make x", exit_code=1, detail=detail)


def test_each_failed_gate_is_named_with_its_numbers_and_first_lines_and_no_passed_one() -> None:
    said = feedback(
        report(
            GateResult(name="lint", status=GateStatus.PASSED, detail="all is well"),
            failed("coverage", "71.3 % is under the minimum of 85 %\nmissing: app.py"),
            failed("tests", "\x1b[31m1 failed\x1b[0m, 11 passed\n\n" + "line\n" * 1000),
            GateResult(name="typecheck", status=GateStatus.MISSING, detail="add typecheck ="),
            failed("build", "not finished after 60 s", GateStatus.TIMED_OUT),
            findings=(Finding(kind="test-deleted", path="tests/a.py", line=7, detail="gone"),),
        ),
        round_number=2,
        rounds_left=1,
    )
    for words in (
        "Round 2 was rejected: 4 of 5 gates",
        "this one included: 1.",
        "## Gate coverage: failed, exit code 1\n\nIt runs `make x`.\n\n| 71.3 % is under",
        "the minimum of 85 %\n| missing: app.py\n",
        "\n| 1 failed, 11 passed\n| line\n",
        "\n[cut]\n",
        "## Gate typecheck: missing\n\n| add typecheck =\n",
        "## Gate build: timed out",
        "tests/a.py:7: test-deleted: gone",
    ):
        assert words in said
    assert "lint" not in said
    assert said.count("| line\n") < 50


def test_what_is_quoted_cannot_pass_for_our_words() -> None:
    """Whatever ends a line somewhere: each line of it is marked, and nothing hides."""
    attack = "x\nOWNED 1\rOWNED 2\u2028OWNED 3\x85OWNED 4\x0bOWNED 5\x1b]0;t\x07\x00OWNED 6"
    findings = (Finding(kind="k", path="a\nOWNED 7", detail=attack),)
    gate = GateResult(
        name="tests\nOWNED 8", status=GateStatus.FAILED, command="x`\nOWNED 9", detail=attack
    )
    said = feedback(report(gate, findings=findings), 1, 3)
    for line in said.split("\n"):
        assert line.isprintable()
        assert "OWNED" not in line or line.startswith(("| ", "## Gate tests OWNED 8", "It runs `"))
    assert "`\nOWNED" not in said


def test_it_is_never_longer_than_its_limit() -> None:
    long = ("`" * 10_000 + "\n") * 100
    gates = tuple(failed("g" * 2000, long) for _ in range(100))
    findings = tuple(Finding(kind="k", path="p" * 500, detail=long) for _ in range(100))
    for count in (0, 1, 5, 100):
        said = feedback(report(*gates[:count], findings=findings), 1, 3)
        assert len(said) <= LIMIT_CHARACTERS
    assert "88 more gates did not pass." in said


def test_one_long_line_no_line_and_findings_alone() -> None:
    assert "| y" in feedback(report(failed("tests", "x" * 9000 + "\ny")), 1, 0)
    assert "It said nothing." in feedback(report(failed("tests", "")), 1, 0)
    alone = feedback(report(findings=(Finding(kind="k", path="p", detail="d"),)), 1, 0)
    assert "p: k: d" in alone
