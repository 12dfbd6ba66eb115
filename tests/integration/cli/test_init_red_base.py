"""`orch init` on a red commit: what it proposes, and what a change is then judged by."""

from __future__ import annotations

import tomllib

import pytest

from tests.integration.test_init import FILE, init, make, shown

__all__ = ["make"]
TESTED = {"test_a.py": "import unittest\nclass T(unittest.TestCase):\n  def test(self): pass\n"}
RED_TEST = "  def test_red(self): self.fail()\n"
LINT = "lint:\n\tpython3 lint.py\n"
#: A tool that names the place of each failure.
PLACES = "import sys\nprint('a.py:3:1: error: no')\nsys.exit(1)\n"
#: Another failure at each run.
OTHER = "import uuid\nprint(f'a{uuid.uuid4()}.py:1: x')\nraise SystemExit(1)\n"


def config(folder) -> dict[str, object]:
    return tomllib.loads((folder / FILE).read_text())


def test_a_gate_that_can_be_compared_is_proposed_with_the_policy(make):
    folder = make({**TESTED, "Makefile": LINT, "lint.py": PLACES})
    ran = init(folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert 'proposed with red_base = "compare": red on the base' in ran.stdout
    gates = config(folder)["gates"]
    assert gates == {"red_base": "compare", "lint": "make lint", "tests": "python3 -m unittest"}
    text = (folder / FILE).read_text()
    assert "# Red on this commit too: lint." in text
    assert "a.py:0" in text


def test_tests_that_fail_are_compared_with_those_that_pass(make):
    folder = make({"test_a.py": TESTED["test_a.py"] + RED_TEST})
    document, found = shown(folder)
    assert (found["tests"]["status"], document["approvable"]) == ("red_before", True), document
    assert "test_red" in found["tests"]["detail"]
    assert config(folder)["gates"] == {"red_base": "compare", "tests": "python3 -m unittest"}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        # No place, no test that passes, a different end each time.
        ({**TESTED, "Makefile": LINT, "lint.py": "print('no')\nraise SystemExit(1)\n"}, "no place"),
        (
            {**TESTED, "Makefile": LINT, "lint.py": f"print('a.py:1: x')\n{OTHER}"},
            "new failures",
        ),
    ],
)
def test_a_gate_that_cannot_be_compared_is_left_out_with_the_reason(make, files, reason):
    folder = make(files)
    _, found = shown(folder)
    assert found["lint"]["turn"] == "repository"
    assert reason in found["lint"]["detail"]
    assert config(folder)["gates"] == {"tests": "python3 -m unittest"}
    assert "# lint = " in (folder / FILE).read_text()


def test_tests_of_which_none_passes_approve_nothing(make):
    red = "import unittest\nclass T(unittest.TestCase):\n" + RED_TEST
    document, found = shown(make({"test_a.py": red}))
    assert not document["approvable"]
    assert "no test passes on the base" in found["tests"]["detail"]


def test_green_gates_need_no_policy(make):
    folder = make(TESTED)
    _, found = shown(folder)
    assert found["tests"]["status"] == "passed"
    assert "red_base" not in config(folder)["gates"]
