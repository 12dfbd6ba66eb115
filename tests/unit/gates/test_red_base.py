"""A gate that is red on the base: the policy, tools that print lines, flaky and broken bases."""

from __future__ import annotations

import json

import pytest

from orchestrator.models import GateStatus
from orchestrator.stages.gate_check.red_base import DECIDING
from tests.unit.gates.red_bases import MAKE, MYPY, PYTEST, RUFF, RedJudge, config


@pytest.fixture
def judge(tmp_path) -> RedJudge:
    return RedJudge.build(tmp_path)


TOOLS = {"ruff": RUFF, "mypy": MYPY, "make": MAKE}
#: A change that moves the old failure, and one that adds a failure of the same kind.
EDITS = {
    "ruff": (
        {"a.py": "'''A module.'''\n\nimport os\n\nx = 1\n", "c.py": "z = 3\n"},
        [{"b.py": "import os\n\ny = 2\n"}, {"a.py": "import os\nimport sys\n\nx = 1\n"}],
    ),
    "mypy": (
        {"a.py": "\n\nx: int = 'a'\n", "c.py": "z: int = 3\n"},
        [{"b.py": "y: int = 'a'\n"}, {"a.py": "x: int = 'a'\nx = 'b'\n"}],
    ),
    "make": (
        {"a.txt": "fine\nfine\nfine\nBAD one\n", "c.txt": "fine\n"},
        [{"b.txt": "BAD one\n"}, {"a.txt": "fine\nBAD one\nBAD one\n"}],
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_lines_and_places_do_not_matter_and_each_new_line_does(judge, tool):
    honest, added = EDITS[tool]
    gate = judge.only_gate(TOOLS[tool], honest)
    assert gate.status is GateStatus.RED_BEFORE, gate.detail
    for edits in added:
        gate = judge.only_gate(TOOLS[tool], edits)
        assert gate.status is GateStatus.FAILED, gate.detail
        assert "of this change: " in gate.detail


#: Changes that let the output look like that of the base.
HIDDEN = {
    "the finding of the base is fixed, and the same one stands in another file": (
        RUFF,
        {"a.py": "x = 1\n", "b.py": "import os\n\ny = 2\n"},
    ),
    "the tool refuses its configuration": (RUFF, {"ruff.toml": "[lint]\nselect = ['NOPE']\n"}),
    "the recipe prints what the base prints, and ends as the base": (
        MAKE,
        {"Makefile": "lint:\n\t@echo 'a.txt:2:BAD one is bad'; exit 1\n", "b.txt": "BAD one\n"},
    ),
    "the configuration hides the new finding": (
        RUFF,
        {"ruff.toml": "exclude = ['b.py']\n", "b.py": "import os\n"},
    ),
    "the script of the gate prints what the base prints, and ends otherwise": (
        MAKE,
        {"check.sh": "echo 'a.txt:2:BAD one is bad'; exit 3\n"},
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_red_output_that_looks_like_that_of_the_base_is_no_excuse(judge, name):
    base, edits = HIDDEN[name]
    gate = judge.only_gate(base, edits)
    assert not gate.status.is_pass, gate.detail


def test_a_request_allows_an_edit_of_the_configuration(judge):
    assert "check-config-edited" in DECIDING
    edits = {"ruff.toml": "line-length = 99\n"}
    assert "ruff.toml: check-config-edited" in judge.only_gate(RUFF, edits).detail
    (gate,) = judge.judged(RUFF, edits, may_edit=("ruff.toml",)).gates
    assert gate.status is GateStatus.RED_BEFORE, gate.detail


@pytest.mark.parametrize("base", [RUFF, PYTEST], ids=["ruff", "pytest"])
def test_refuse_is_the_default_and_neither_approves_nor_charges(judge, base):
    own = {path: text for path, text in base.items() if path != "orchestrator.toml"}
    own["orchestrator.toml"] = base["orchestrator.toml"].replace('red_base = "compare"', "")
    report = judge.judged(own, {"README.md": "x\n"})
    (gate,) = report.gates
    assert gate.status is GateStatus.ERRORED
    assert gate.detail.startswith("red on the base: ")
    assert 'red_base = "compare"' in gate.detail
    assert not report.approved


def test_rework_runs_nothing_on_the_base_and_charges_all(judge):
    base = {**RUFF, "orchestrator.toml": config('lint = "ruff check ."', "rework")}
    gate = judge.only_gate(base, {"README.md": "x\n"})
    assert gate.status is GateStatus.FAILED
    assert not (judge.folder / "base-records").exists()


def counted(command: str, red_base: str = "compare") -> dict[str, str]:
    """Return a base whose gate counts its runs in a file beside its checkouts."""
    script = json.dumps(f"echo x >>../../runs; {command}")
    return {"orchestrator.toml": config(f"lint = {script}", red_base), "a.txt": "a\n"}


def runs(judge: RedJudge) -> int:
    return len((judge.folder / "runs").read_text().splitlines())


def test_a_gate_that_passes_runs_once(judge):
    assert judge.only_gate(counted("true"), {"a.txt": "b\n"}).status is GateStatus.PASSED
    assert runs(judge) == 1


def test_the_runs_of_a_base_are_made_once_for_all_changes(judge):
    base = counted("echo a.txt:1: bad; exit 1")
    for number in range(3):
        gate = judge.only_gate(base, {"new.txt": f"{number}\n"})
        assert gate.status is GateStatus.RED_BEFORE, gate.detail
    # One run of each change, and two of the base.
    assert runs(judge) == 5


@pytest.mark.parametrize(
    "ends",
    ["echo a.txt:1: bad", 'test "$(wc -l <../../runs)" -ne 2 || kill -9 $$'],
    ids=["it fails", "it cannot run"],
)
def test_a_base_that_passes_at_the_second_look_is_no_excuse(judge, ends):
    # It passes at the third run: the first one is that of the change.
    base = counted(f'{ends}; test "$(wc -l <../../runs)" -gt 2')
    gate = judge.only_gate(base, {"new.txt": "x\n"})
    assert gate.status is GateStatus.FAILED, gate.detail
    assert "flaky" in gate.detail
    assert runs(judge) == 3


def test_only_what_fails_at_each_look_was_there_before(judge):
    base = counted(
        'echo a.txt:1: bad; test "$(wc -l <../../runs)" -eq 3 || echo b.txt:1: flaky; exit 1'
    )
    gate = judge.only_gate(base, {"new.txt": "x\n"})
    assert gate.status is GateStatus.FAILED
    assert "of this change: b.txt:0: flaky" in gate.detail


@pytest.mark.parametrize("command", ["exit 127", "kill -9 $$"])
def test_a_base_that_cannot_run_is_no_excuse(judge, command):
    base = counted(f"test ! -e a.txt || {{ {command}; }}; echo b.txt:1: bad; exit 1")
    gate = judge.only_gate(base, {"a.txt": None})
    assert gate.status is GateStatus.FAILED, gate.detail
    assert "no excuse" in gate.detail


def test_a_time_limit_that_the_base_exceeds_too_is_not_charged(judge):
    command = '{command = "test -e quick || sleep 60", timeout = "1s"}'
    base = {"orchestrator.toml": config(f"lint = {command}"), "a.txt": "a\n"}
    gate = judge.only_gate(base, {"a.txt": "b\n"})
    assert gate.status is GateStatus.ERRORED, gate.detail
    assert gate.detail.startswith("red on the base: ")
    slow = {**base, "quick": ""}
    assert judge.only_gate(slow, {"quick": None}).status is GateStatus.TIMED_OUT


def test_each_command_of_a_gate_has_its_own_base(judge):
    lint = 'lint = ["ruff check --no-cache a.py", "ruff check --no-cache b.py"]'
    base = {**RUFF, "orchestrator.toml": config(lint)}
    assert judge.only_gate(base, {"c.py": ""}).status is GateStatus.RED_BEFORE
    gate = judge.only_gate(base, {"b.py": "import os\n"})
    assert gate.status is GateStatus.FAILED
    assert "red before: ruff check --no-cache a.py" in gate.detail


COVERAGE = (
    'coverage = {command = "python3 -m coverage run -m pytest -q; code=$?;'
    " python3 -m coverage json -q -o c.json; exit $code\", report = 'c.json', minimum = 90}"
)
HALF = {
    "orchestrator.toml": config(COVERAGE),
    "calc.py": "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    b = -b\n    return b\n",
    "test_calc.py": "import calc\n\n\ndef test_add():\n    assert calc.add(1, 2) == 3\n",
}


@pytest.mark.parametrize(
    ("edits", "status", "word"),
    [
        ({"README.md": "x\n"}, GateStatus.RED_BEFORE, "coverage"),
        ({"more.py": "x = 1\n", "test_more.py": "import more\n"}, GateStatus.RED_BEFORE, ""),
        (
            {"calc.py": f"{HALF['calc.py']}\n\ndef mul(a, b):\n    c = a * b\n    return c\n"},
            GateStatus.FAILED,
            "coverage fell from",
        ),
        ({"test_calc.py": "def test_add():\n    assert False\n"}, GateStatus.FAILED, "exit code 1"),
    ],
)
def test_coverage_below_the_minimum_may_not_fall(judge, edits, status, word):
    gate = judge.only_gate(HALF, edits)
    assert gate.status is status, gate.detail
    assert word in gate.detail


def test_coverage_whose_tests_are_red_is_compared_by_their_names(judge):
    red = {**HALF, "test_red.py": "def test_red():\n    assert False\n"}
    gate = judge.only_gate(red, {"README.md": "x\n"})
    assert gate.status is GateStatus.RED_BEFORE, gate.detail
    gate = judge.only_gate(red, {"test_red2.py": "def test_red():\n    assert False\n"})
    assert gate.status is GateStatus.FAILED, gate.detail
