"""A gate of tests that is red on the base: per test, only what the change adds is charged.

`orchestrator.stages.gate_check.red_base` judges each case with its real test runner.
"""

from __future__ import annotations

import pytest

from orchestrator.models import GateProfile, GateStatus
from tests.unit.gates.red_bases import GO, NODE, PYTEST, UNITTEST, RedJudge, config

RUNNERS = {"pytest": PYTEST, "unittest": UNITTEST, "node": NODE, "go": GO}
#: A new test that passes, and the same that fails, in a file of its own.
NEW = {
    "pytest": ("tests/test_new.py", "def test_new():\n    assert {}\n", ("True", "False")),
    "unittest": (
        "test_new.py",
        "import unittest\nclass N(unittest.TestCase):\n    def test_new(self): assert {}\n",
        ("True", "False"),
    ),
    "node": (
        "b.test.js",
        "const test = require('node:test');\ntest('new', () => {{ if (!{}) throw 1; }});\n",
        ("true", "false"),
    ),
    "go": (
        "b/c_test.go",
        'package b\nimport "testing"\nfunc TestNew(t *testing.T) {{ if !{} {{ t.Fatal(1) }} }}\n',
        ("true", "false"),
    ),
}


@pytest.fixture
def judge(tmp_path) -> RedJudge:
    return RedJudge.build(tmp_path)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_change_beside_a_red_test_is_approved_and_a_new_red_test_is_charged(judge, runner):
    path, text, (good, bad) = NEW[runner]
    report = judge.judged(RUNNERS[runner], {path: text.format(good)})
    (gate,) = report.gates
    assert gate.status is GateStatus.RED_BEFORE, gate.detail
    assert report.approved
    assert "red on the base" in gate.detail
    report = judge.judged(RUNNERS[runner], {path: text.format(bad)})
    (gate,) = report.gates
    assert gate.status is GateStatus.FAILED, gate.detail
    assert not report.approved
    assert "of this change: " in gate.detail
    assert "red on the base: " in gate.detail


def replaced(base: dict[str, str], path: str, old: str, new: str) -> dict[str, str]:
    assert old in base[path]
    return {path: base[path].replace(old, new)}


TEST = "tests/test_calc.py"
RED = "def test_sub():\n    assert calc.sub(3, 1) == 2\n"
#: Changes that add a failure to a red gate, or hide one; the word that the detail has.
ATTACKS = {
    "the source breaks a green test": (
        PYTEST,
        replaced(PYTEST, "calc.py", "return a + b\n\n\n", "return a\n\n\n"),
        "test_add",
    ),
    "the red test is renamed": (
        PYTEST,
        replaced(PYTEST, TEST, "def test_sub", "def test_subtract"),
        "test_subtract",
    ),
    "a green test is deleted": (
        PYTEST,
        replaced(PYTEST, TEST, "def test_add():\n    assert calc.add(1, 2) == 3\n", ""),
        "test_add, which ran on the base, is no longer run",
    ),
    "a green test is skipped": (
        PYTEST,
        replaced(PYTEST, TEST, "def test_add", "import pytest\n@pytest.mark.skip\ndef test_add"),
        "test_add, which ran on the base, is skipped",
    ),
    "the red test is fixed, and a new one of its name fails elsewhere": (
        PYTEST,
        {"tests/test_z.py": "def test_sub():\n    assert False\n"}
        | replaced(PYTEST, TEST, "calc.sub(3, 1) == 2", "True"),
        "tests/test_z.py::test_sub",
    ),
    "the runner stops at the red test": (
        PYTEST,
        {"pytest.ini": "[pytest]\naddopts = -x\n", "tests/test_aa.py": "def test_q(): assert 0\n"},
        "of this change: ",
    ),
    "the process ends as on the base": (
        PYTEST,
        {"conftest.py": "import os\ndef pytest_runtest_teardown(item): os._exit(1)\n"},
        "of this change: ",
    ),
    "a file of tests cannot be imported": (
        PYTEST,
        {"tests/test_new.py": "import nothing_of_this_name\n"},
        "of this change: ",
    ),
    "a failing case of a green test": (
        UNITTEST,
        replaced(
            UNITTEST,
            "test_calc.py",
            "    def test_red",
            "    def test_sub(self):\n        with self.subTest(): self.fail()\n    def test_red",
        ),
        "test_sub",
    ),
    "a test of the same title": (
        NODE,
        {"b.test.js": "require('node:test')('red', () => { throw 1; });\n"},
        "red",
    ),
    "a test of the same name in another package": (
        GO,
        replaced(GO, "b/b_test.go", "{}", "{ t.Fatal(1) }"),
        "m/b::TestX",
    ),
    "a package that does not compile": (
        GO,
        {"b/b.go": "package b\nfunc F() { undefined() }\n"},
        "of this change: ",
    ),
    "a package that panics before its tests": (
        GO,
        {"b/c_test.go": "package b\nfunc init() { panic(1) }\n"},
        "of this change: ",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_change_that_adds_or_hides_a_failure_is_rejected(judge, attack):
    base, edits, word = ATTACKS[attack]
    report = judge.judged(base, edits)
    (gate,) = report.gates
    assert gate.status is GateStatus.FAILED, gate
    assert word in gate.detail, gate.detail
    assert not report.approved


def test_a_request_allows_the_removal_of_tests(judge):
    edits = {"tests/test_old.py": None}
    base = {**PYTEST, "tests/test_old.py": "def test_old():\n    pass\n"}
    assert judge.only_gate(base, edits).status is GateStatus.FAILED
    report = judge.judged(base, edits, may_edit=("tests/*",))
    assert report.gates[0].status is GateStatus.RED_BEFORE, report.gates[0].detail


def test_a_fixed_red_test_needs_no_comparison(judge):
    fixed = replaced(
        PYTEST, "calc.py", "def sub(a, b):\n    return a + b", "def sub(a, b): return a - b"
    )
    assert judge.only_gate(PYTEST, fixed).status is GateStatus.PASSED


#: Bases that prove nothing about a change, whatever the change does.
UNKNOWN = {
    "no test can be imported": {**PYTEST, TEST: "import nothing_of_this_name\n" + PYTEST[TEST]},
    "no test passes": {**PYTEST, TEST: f"import calc\n\n\n{RED}"},
    "the runner ends at its first failure": {
        **PYTEST,
        "orchestrator.toml": config('tests = "python3 -m pytest -q -x"'),
    },
    "the configuration lets it end there": {**PYTEST, "pytest.ini": "[pytest]\naddopts = -x\n"},
    "a program without names": {
        "orchestrator.toml": config('tests = "sh check.sh"'),
        "check.sh": "echo it is red; exit 1\n",
    },
    "a silent program": {"orchestrator.toml": config('lint = "false"')},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_compared_is_not_approved_and_not_charged(judge, name):
    gate = judge.only_gate(UNKNOWN[name], {"new.txt": "x\n"})
    assert gate.status is GateStatus.ERRORED, gate.detail
    assert "cannot be compared" in gate.detail


def test_the_bases_tests_judge_a_change_beside_a_red_test_too(judge):
    """A weakened test and a broken source: strict rejects it as in a green repository."""
    weak = replaced(PYTEST, TEST, "calc.add(1, 2) == 3", "calc.add")
    broken = replaced(PYTEST, "calc.py", "return a + b\n\n\n", "return a\n\n\n")
    report = judge.judged(PYTEST, weak | broken, GateProfile.STRICT)
    assert report.gates[0].status is GateStatus.RED_BEFORE, report.gates[0].detail
    (found,) = [one for one in report.findings if one.kind == "base-tests"]
    assert "test_add" in found.detail
    assert not report.approved
    honest = {TEST: PYTEST[TEST] + "\n\ndef test_more():\n    pass\n"}
    report = judge.judged(PYTEST, honest, GateProfile.STRICT)
    assert report.approved, report
