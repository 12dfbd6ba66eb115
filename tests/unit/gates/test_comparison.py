"""The comparison of a red run with its base, from outputs of real tools; nothing runs."""

from __future__ import annotations

import pytest

from orchestrator.gates.comparison import Comparison, compare
from orchestrator.gates.outcomes import Outcome, Outcomes
from orchestrator.gates.run_record import RunRecord, make_record
from orchestrator.interfaces.run import Completed
from orchestrator.models import GateResult, GateStatus


def record(
    output: str, code: int = 1, place: str = "/w/a/tree", tests: dict[str, Outcome] | None = None
) -> RunRecord:
    ended = Completed(code, output.encode(), b"", timed_out=False, truncated=False, duration_ms=1)
    result = GateResult(name="x", status=GateStatus.FAILED, exit_code=code, detail=f"exit {code}")
    outcomes = None if tests is None else Outcomes(tests)
    return make_record(result, ended, outcomes, (place, place.removesuffix("/tree")))


def compared(base: str, now: str, command: str = "check", code: int = 1) -> Comparison:
    return compare(command, [record(base)], record(now, code, "/w/b.base/tree"))


SAME = {
    "lines move": ("a.py:1:2: F401 x", "a.py:91:2: F401 x"),
    "columns move": ("a.ts(1,2): error TS2: no", "a.ts(7,9): error TS2: no"),
    "the path of the checkout": ("/w/a/tree/a.go:1: bad", "/w/b.base/tree/a.go:2: bad"),
    "a file beside the checkout": ("a.c:1: see /w/a/tmp/x", "a.c:1: see /w/b.base/tmp/x"),
    "durations": ("a.c:1: bad\ndone in 1.25s", "a.c:1: bad\ndone in 13 ms"),
    "a clock": ("12:01:02 a.c:1: bad", "23:59:01.5 a.c:1: bad"),
    "an address": ("a.c:1: <object at 0x7f1>", "a.c:1: <object at 0x7ff9>"),
    "one of two is fixed": (
        "a.py:1: error: x\nb.py:1: error: y\nFound 2 errors in 2 files (checked 3 source files)",
        "a.py:1: error: x\nFound 1 error in 1 file (checked 4 source files)",
    ),
    "the order": ("a.c:1: x\nb.c:1: y", "b.c:1: y\na.c:1: x"),
    "lines of source beside a finding": (
        "F401 `os`\n --> a.py:1:8\n  |\n1 | import os\n2 | x = 1\n  |\nhelp: no",
        (
            "F401 `os`\n  --> a.py:30:8\n   |\n29 | '''A'''"
            "\n30 | import os\n   |\nhelp: no\n   - import os"
        ),
    ),
    "colours": ("a.c:1: bad", "\x1b[31ma.c:1:\x1b[0m bad"),
    "findings of eslint": (
        "/w/a/tree/a.js\n  1:1  error  'x' is unused  no-unused\n\n✖ 1 problem (1 error)",
        "/w/b.base/tree/a.js\n  9:1  error  'x' is unused  no-unused\n\n✖ 1 problem (1 error)",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_matter(name):
    found = compared(*SAME[name])
    assert found == Comparison((), found.before, "lines"), found
    assert found.before


ADDED = {
    "another finding": ("a.py:1: x", "a.py:1: x\na.py:2: y"),
    "the same finding twice": ("a.py:1: x", "a.py:1: x\na.py:9: x"),
    "the same finding in another file": ("a.py:1: x", "b.py:1: x"),
    "another name with a number": ("a.py:1: no x1", "a.py:1: no x2"),
    "another code": ("a.py:1: E501 long", "a.py:1: E502 long"),
    "another file of ruff": (
        "F401 `os`\n --> a.py:1:8\n  |\n1 | import os",
        "F401 `os`\n --> b.py:1:8\n  |\n1 | import os",
    ),
    "another file of eslint": (
        "/w/a/tree/a.js\n  1:1  error  no  no-x",
        "/w/b.base/tree/b.js\n  1:1  error  no  no-x",
    ),
    "a crash": ("a.py:1: x", "a.py:1: x\nTraceback (most recent call last):"),
}


@pytest.mark.parametrize("name", ADDED)
def test_what_a_change_adds(name):
    found = compared(*ADDED[name])
    assert found.own, found
    assert not found.unknown


def test_another_exit_code_is_a_failure_of_the_change():
    found = compared("a.py:1: x", "a.py:1: x", code=2)
    assert "exit code 2" in found.own[0]


UNKNOWN = {
    "no place": ("it is red", "it is red"),
    "no place on the base": ("it is red", "it is red\na.py:1: x"),
    "only the place of a recipe": ("make: *** [Makefile:2: lint] Error 1",) * 2,
    "a line without a failure": ("a.py:1: x", "a.py:1: x\nand something else"),
    "nothing": ("", ""),
    "a check that no longer runs": (
        "a.py:1: x\nmake: *** [Makefile:2: lint] Error 1",
        "make: *** [Makefile:2: lint] Error 2",
    ),
    "a tool that stopped": ("a.py:1: x (errors prevented further checking)",) * 2,
    "a tool that crashed": ("a.py:1: x\nTraceback (most recent call last):",) * 2,
    "a program of node that crashed": ("a.js:1\n    at f (/x/a.js:1:2)",) * 2,
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_unknown(name):
    assert compared(*UNKNOWN[name]).unknown


@pytest.mark.parametrize(
    "command",
    ["pytest -x", "pytest --maxfail=1", "go test -failfast ./...", "cargo test", "jest --bail"],
)
def test_a_command_that_ends_at_a_failure_is_not_compared(command):
    assert "may end before" in compared("a:1: x", "a:1: x", command).unknown
    assert not compared("a:1: x", "a:1: x", "cargo test --no-fail-fast").unknown


JEST = (
    "FAIL ./a.test.js\n  ● adds › {}\n\n    Expected: 1\n\nTests: {} failed, {} passed, {} total\n"
)


@pytest.mark.parametrize(
    ("now", "own"),
    [
        (JEST.format("one", 1, 2, 3), False),
        (JEST.format("one", 1, 3, 4), False),
        (JEST.format("two", 1, 2, 3), True),
        (JEST.format("one", 1, 1, 2), True),
        (JEST.format("one\n  ● adds › two", 2, 1, 3), True),
        (JEST.format("one", 2, 2, 4), True),
        ("FAIL ./a.test.js\n", True),
    ],
)
def test_a_runner_without_a_recorder_is_compared_by_names_and_numbers(now, own):
    found = compared(JEST.format("one", 1, 2, 3), now)
    assert not found.unknown
    assert bool(found.own) is own, found
    assert found.by == "names of failures"


def test_a_base_on_which_no_test_passes_judges_nothing():
    base = JEST.format("one", 1, 0, 1)
    assert "no test passes" in compared(base, base).unknown


def test_a_finding_is_reported_with_its_file():
    ruff = "F401 `os`\n --> a.py:1:8\n  |\n1 | import os"
    assert compared(ruff, ruff).before == ("F401 `os` --> a.py:0",)


def test_more_failures_than_names_are_unknown():
    base = JEST.format("one", 9, 2, 11)
    assert "than it names" in compared(base, base).unknown


def of_tests(base: dict[str, Outcome], now: dict[str, Outcome]) -> Comparison:
    return compare("x", [record("", tests=base)], record("", tests=now))


def test_titles_are_compared_by_number_and_mixed_ones_not_at_all():
    red: dict[str, Outcome] = {"good": "passed", "works": "failed", "works[2]": "failed"}
    assert not of_tests(red, red).own
    assert of_tests(red, {**red, "works[3]": "failed"}).own == ("works",)
    mixed: dict[str, Outcome] = {**red, "works": "passed"}
    assert "named works" in of_tests(mixed, mixed).unknown
    assert not of_tests(mixed, {"good": "passed", "works": "passed", "works[2]": "passed"}).own


def test_a_test_is_red_before_only_if_each_look_saw_it():
    one: dict[str, Outcome] = {"a.py::a": "failed", "a.py::b": "passed"}
    two: dict[str, Outcome] = {"a.py::a": "passed", "a.py::b": "failed"}
    both: dict[str, Outcome] = {**one, "a.py::c": "failed"}
    looks = [record("", tests={**one, "a.py::c": "failed"}), record("", tests=both)]
    assert compare("x", looks, record("", tests=both)).own == ()
    looks[1] = record("", tests={**two, "a.py::c": "failed"})
    assert compare("x", looks, record("", tests=both)).own == ("a.py::a",)


def test_a_failure_that_no_test_explains_is_charged():
    base = record("FAILED a.py::a - x\n1 failed, 1 passed in 0.1s", tests=(one := {
        "a.py::a": "failed", "a.py::b": "passed",
    }))  # fmt: skip
    now = "FAILED a.py::a - x\nERROR c.py\n1 failed, 1 passed, 1 error in 0.1s"
    assert any("c.py" in own for own in compare("x", [base], record(now, tests=one)).own)
    silent = "1 failed, 1 passed, 1 error in 0.1s"
    assert compare("x", [base], record(silent, tests=one)).own


def test_output_that_was_cut_is_unknown():
    ended = Completed(1, b"a:1: x", b"", timed_out=False, truncated=True, duration_ms=1)
    result = GateResult(name="x", status=GateStatus.FAILED, exit_code=1)
    cut = make_record(result, ended, None, ())
    assert compare("x", [record("a:1: x")], cut).unknown
    assert compare("x", [cut], record("a:1: x")).unknown
    known = cut.model_copy(update={"tests": RED})
    assert compare("x", [record("", tests=RED)], known).unknown


def test_a_lost_test_and_a_run_that_was_cut_are_failures_of_the_change():
    assert of_tests(RED, {"a.py::a": "failed"}).own == (
        "b, which ran on the base, is no longer run",
    )
    cut = record("", tests=RED).model_copy(update={"has_ended": False})
    assert compare("x", [record("", tests=RED)], cut).own
    assert compare("x", [cut], record("", tests=RED)).unknown


RED: dict[str, Outcome] = {"a.py::a": "failed", "a.py::b": "passed"}


def test_a_gate_that_fails_without_a_red_test_is_unknown():
    """Its tests are green now, and a later command fails: the base never came so far."""
    found = of_tests(RED, {"a.py::a": "passed", "a.py::b": "passed"})
    assert "without a failure that the base has" in found.unknown


@pytest.mark.parametrize(
    ("command", "is_unknown"),
    [
        ("python3 -m pytest -q", False),
        ("CI=1 pytest tests", False),
        ("node --test", False),
        ("go test ./...", False),
        ("pytest; ruff check", True),
        ("make test", True),
        ("npm test\nnode --test", True),
    ],
)
def test_a_command_that_runs_more_than_tests_may_print_no_new_failure(command, is_unknown):
    base, now = record("", tests=RED), record("a.py:1: E1 unused", tests=RED)
    assert bool(compare(command, [base], now).unknown) is is_unknown
    assert not compare(command, [base], record("a new line", tests=RED)).unknown
