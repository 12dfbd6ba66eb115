"""`orchestrator.stages.gate_check.base_tests`: when it runs, what it reports, what is allowed."""

from __future__ import annotations

import json

import pytest

from orchestrator.models import GateProfile, GateReport
from tests.unit.gates.cheats.judging import Case, Judge, Repository
from tests.unit.gates.cheats.python import PYTEST, RIGHT, UNITTEST, WRONG

#: A program that is no known runner; it counts its runs in a file beside its checkouts.
COUNTED = Repository(
    "counted",
    {
        "orchestrator.toml": '[gates]\ntests = "echo x >>../../runs && sh check.sh"\n',
        "check.sh": ". tests/check.sh\n",
        "tests/check.sh": "grep -q right calc.py\n",
        "calc.py": "right\n",
        "README.md": "x\n",
    },
)
BENT = {"calc.py": "wrong\n", "tests/check.sh": "true\n"}


@pytest.fixture
def judge(tmp_path) -> Judge:
    return Judge.build(tmp_path)


def runs(judge: Judge) -> int:
    file = judge.folder / "runs"
    number = len(file.read_text().splitlines()) if file.exists() else 0
    file.unlink(missing_ok=True)
    return number


def kinds(report: GateReport) -> set[str]:
    return {finding.kind for finding in report.findings}


@pytest.mark.parametrize(
    ("profile", "edits", "number"),
    [
        ("minimal", BENT, 1),
        ("standard", {"README.md": "y\n"}, 1),
        ("standard", {"tests/more.txt": "y\n"}, 3),
        ("strict", {"README.md": "y\n"}, 2),
    ],
)
def test_a_second_run_is_made_only_where_it_can_say_something(judge, profile, edits, number):
    report = judge.report(Case("x", COUNTED, edits), GateProfile(profile))
    assert report.approved, report
    assert runs(judge) == number


def test_the_run_of_a_base_is_remembered_and_a_failed_one_is_not(judge):
    for _ in range(2):
        judge.report(Case("x", COUNTED, {"README.md": "y\n"}), GateProfile.STRICT)
    assert runs(judge) == 3
    failing = Repository("failing", {**COUNTED.files, "calc.py": "wrong\n"})
    for _ in range(2):
        mended = Case("x", failing, {"calc.py": "right\n"})
        assert judge.report(mended, GateProfile.STRICT).approved
    assert runs(judge) == 4


def test_a_rejected_change_needs_no_second_judge(judge):
    report = judge.report(Case("x", COUNTED, {"calc.py": "wrong\n"}), GateProfile.STRICT)
    assert not report.approved
    # Its base has run too, to know whether it was red before.
    assert runs(judge) == 2


def test_where_no_outcomes_are_known_the_end_of_the_command_decides(judge):
    report = judge.report(Case("x", COUNTED, BENT), GateProfile.STANDARD)
    (found,) = report.findings
    assert (found.kind, found.path) == ("base-tests", "tests/check.sh")
    assert "exit code 1" in found.detail
    assert report.approved, "standard reports it"
    assert not judge.report(Case("x", COUNTED, BENT), GateProfile.STRICT).approved


def test_a_request_allows_what_a_person_wants_and_the_report_says_so(judge):
    honest = Case("x", COUNTED, {"calc.py": "left\n", "tests/check.sh": "grep -q left calc.py\n"})
    report = judge.report(honest, GateProfile.STRICT, may_edit=("docs/*", "tests/*"))
    assert report.approved
    (found,) = report.findings
    assert found.detail.endswith("(the request allows tests/*)")
    other = judge.report(honest, GateProfile.STRICT, may_edit=("test/*", "*.py"))
    assert not other.approved


def test_an_allowed_path_allows_no_other(judge):
    case = Case("x", COUNTED, {**BENT, "orchestrator.toml": "[gates]\ntests = 'true'\n"})
    report = judge.report(case, GateProfile.STRICT, may_edit=("tests/*",))
    assert not report.approved
    allowed = {finding.path for finding in report.findings if "allows" in finding.detail}
    assert allowed == {"tests/check.sh"}


def test_a_repository_without_tests_has_nothing_to_compare(judge):
    bare = Repository("bare", {"orchestrator.toml": "[gates]\ntests = 'python3 -m pytest'\n"})
    case = Case(
        "x", bare, {"calc.py": RIGHT, "tests/test_calc.py": PYTEST.files["tests/test_calc.py"]}
    )
    assert not judge.report(case, GateProfile.STANDARD).findings


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_a_test_that_a_source_lets_skip_is_lost(judge, profile):
    test = (
        "import pytest\nimport calc\n\n\n@pytest.mark.skipif(not hasattr(calc, 'add'), reason='')\n"
        "def test_add():\n    assert calc.add(1, 2) == 3\n\n\ndef test_other():\n    pass\n"
    )
    base = Repository(f"skipping {profile}", {**PYTEST.files, "tests/test_calc.py": test})
    report = judge.report(Case("x", base, {"calc.py": "plus = 1\n"}), GateProfile(profile))
    (found,) = report.findings
    assert (found.kind, found.detail) == (
        "test-lost",
        "test_add, which ran on the base, is skipped",
    )


def test_a_source_that_ends_the_runner_is_reported(judge):
    report = judge.report(
        Case("x", PYTEST, {"calc.py": f"{WRONG}import os, atexit\natexit.register(os._exit, 0)\n"}),
        GateProfile.STRICT,
    )
    assert not report.approved
    ended = f"{RIGHT}print('3 passed in 0.1s', flush=True)\n__import__('os')._exit(0)\n"
    assert not judge.report(Case("x", PYTEST, {"calc.py": ended}), GateProfile.STRICT).approved


def test_a_runner_that_refuses_the_recorder_runs_without_it(judge):
    package = {"scripts": {"test": "node --test --test-reporter=spec"}}
    test = "require('node:test')('a', () => { require('../calc.js'); });\n"
    base = Repository(
        "own reporter",
        {"package.json": json.dumps(package), "calc.js": "", "test/a.test.js": test},
    )
    report = judge.report(Case("x", base, {"calc.js": "1;\n"}), GateProfile.STRICT)
    assert report.approved, report
    emptied = Case(
        "x", base, {"calc.js": "x = ;\n", "test/a.test.js": test.replace("require('../", "('../")}
    )
    assert kinds(judge.report(emptied, GateProfile.STANDARD)) == {"base-tests"}


def test_a_test_beside_the_folder_of_the_gate_is_one_of_its_own_if_it_was_read(judge):
    test = UNITTEST.files["test_calc.py"]
    gate = '{command = "cd .. && python3 -m unittest e2e.test_calc", folder = "web"}'
    files = {"orchestrator.toml": f"[gates]\ntests = {gate}\n", "web/a.txt": "", "calc.py": RIGHT}
    base = Repository("beside", {**files, "e2e/test_calc.py": test, "e2e/test_b.py": test})
    bent = str(test).replace("add(1, 2), 3", "add(1, 2), -1")
    case = Case("x", base, {"calc.py": WRONG, "e2e/test_calc.py": bent})
    assert kinds(judge.report(case, GateProfile.STANDARD)) == {"base-tests"}
    # The gate does not read this one.
    unread = Case("x", base, {"e2e/test_b.py": bent})
    assert not judge.report(unread, GateProfile.STANDARD).findings
