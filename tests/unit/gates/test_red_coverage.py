"""Coverage under the tool's own minimum is compared with the base, if no test fails."""

from __future__ import annotations

import pytest

from orchestrator.gates.comparison import Comparison, compare
from orchestrator.models import GateStatus
from tests.unit.gates.red_bases import RedJudge, config
from tests.unit.gates.test_comparison import record

PYTEST = "===== 5 passed in 1.20s ====="
UNITTEST = "Ran 5 tests in 1.2s\n\nOK"
COVERAGE = "Coverage failure: total of {} is less than fail-under=96.00"
PYTEST_COV = "FAIL Required test coverage of 96% not reached. Total coverage: {}%"


def output(figure: float | None, form: str = COVERAGE, tests: str = PYTEST) -> str:
    return "\n".join([tests, form.format(figure) if figure else ""])


def found(base: str, now: str, command: str = "coverage run -m pytest && x", code=2) -> Comparison:
    return compare(command, [record(base, 2)] * 2, record(now, code))


@pytest.mark.parametrize("form", [COVERAGE, PYTEST_COV])
@pytest.mark.parametrize("tests", [PYTEST, UNITTEST])
@pytest.mark.parametrize(
    ("now", "is_own"), [(88.26, False), (88.3, False), (90, False), (88.2, True), (8, True)]
)
def test_coverage_under_the_tools_minimum_may_not_fall(form, tests, now, is_own):
    compared = found(output(88.26, form, tests), output(now, form, tests))
    assert (bool(compared.own), compared.by, compared.unknown) == (is_own, "coverage", "")


@pytest.mark.parametrize(
    "now",
    [
        # A test fails, no test is counted, and the figure is missing or there are two.
        output(88.26, tests="===== 1 failed, 4 passed in 1.20s ====="),
        output(99, tests="===== 1 error in 1.20s ====="),
        output(88.26, tests=""),
        output(None),
        output(88.26) + "\n" + COVERAGE.format(99),
    ],
)
def test_another_failure_is_not_excused_by_the_figure(now):
    compared = found(output(88.26), now)
    assert compared.own or compared.unknown


@pytest.mark.parametrize("line", ["a.py:1: error: no", "E   ImportError", "make: *** [x] Error 1"])
def test_another_line_that_fails_is_not_excused(line):
    base = output(88.26)
    assert found(base, f"{line}\n{base}").unknown
    assert not found(f"{line}\n{base}", f"{line}\n{base}").unknown


def test_a_red_test_of_the_base_leaves_no_figure():
    base = output(88.26, tests="===== 1 failed, 4 passed in 1.20s =====\nFAILED a.py::test_b")
    assert found(base, output(88.3)).unknown


def test_failed_tests_are_named_whatever_the_repository_shows(tmp_path):
    """Pytest's `-r` decides it, and without names no coverage of red tests could be compared."""
    red = {
        "orchestrator.toml": config(
            'coverage = {command = "python3 -m pytest && cp a.json c.json", report = "c.json"}'
        ),
        "pytest.ini": "[pytest]\naddopts = -rxXs\n",
        "test_a.py": "def test_a(): pass\ndef test_red(): assert False\n",
    }
    judge = RedJudge.build(tmp_path)
    gate = judge.only_gate(red, {"README.md": "x\n"})
    assert gate.status is GateStatus.RED_BEFORE, gate.detail
    gate = judge.only_gate(red, {"test_b.py": "def test_b(): assert False\n"})
    assert gate.status is GateStatus.FAILED, gate.detail
    assert "test_b.py::test_b" in gate.detail
