"""Each rule of the comparison of a red gate with its base, on records of runs; nothing runs."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.gates.checks._counts import Counts
from orchestrator.gates.comparison import compare
from orchestrator.gates.run_record import RunRecord
from orchestrator.models import GateStatus

RED = {"a.py::a": "failed", "a.py::b": "passed"}
GO_RED = {"x::TestA": "failed", "x::TestB": "passed"}
GO_LINES = {"=== RUN   TestA": 1, "FAIL x": 1}
LINE = "a.py:0: E1 unused"
MINIMUM = "Coverage failure: total of {} is less than fail-under=90"
ONE_FAILED = Counts(passed=2, failed=1)


def run(exit_code: int | None = 1, **facts: Any) -> RunRecord:
    return RunRecord(status=GateStatus.FAILED, exit_code=exit_code, **facts)


def covered(percent: float) -> RunRecord:
    """A gate of coverage whose command succeeded, below the minimum of the gate."""
    return run(0, headline=f"{percent:g} % < 90 %")


def under(percent: int, *lines: str, **facts: Any) -> RunRecord:
    """A command of tests that fails by the minimum of its own tool."""
    printed = dict.fromkeys((MINIMUM.format(percent), *lines), 1)
    return run(1, counts=Counts(passed=2), lines=printed, **facts)


def named(*names: str, passed: int = 2, failed: int = 1, **facts: Any) -> RunRecord:
    """A runner without a recorder."""
    counts = Counts(passed=passed, failed=failed)
    return run(1, counts=counts, failures=dict.fromkeys(names, 1), **facts)


def of_go(*lines: str, tests: dict[str, Any] | None = None) -> RunRecord:
    return run(tests=tests or GO_RED, lines={**GO_LINES, **dict.fromkeys(lines, 1)})


def recorded(tests: dict[str, Any] | None = None, **facts: Any) -> RunRecord:
    return run(tests=RED if tests is None else tests, **facts)


#: A failure that the runner counts, and that belongs to no test: without its name, and with it.
UNNAMED = recorded(counts=Counts(passed=1, failed=2))
NAMED = recorded(counts=Counts(passed=1, failed=2), failures={"ERROR c.py": 1})
#: Tests of one class and name in two modules.
HERE = {"m.T.t": "failed", "n.T.t": "passed"}
THERE = {"m.T.t": "passed", "n.T.t": "failed"}
GREEN = {"works": "passed", "works[2]": "passed", "good": "passed"}
SAME_TITLES = {**GREEN, "works": "failed"}

OWN = [
    # Coverage.
    ([covered(80)], covered(79), "coverage fell from 80 % to 79 %"),
    ([covered(80), covered(81)], covered(79.5), "coverage fell from 80 %"),
    ([covered(80)], run(1, headline="exit code 1"), "exit code 1"),
    ([under(80)], under(70), "coverage fell from 80 %"),
    # Tests.
    ([recorded()], run(tests=None, lines={LINE: 1}), "no outcome of any test is known"),
    ([recorded()], recorded({**RED, "a.py::c": "failed"}), "a.py::c"),
    ([recorded()], recorded({"a.py::a": "failed"}), "b, which ran on the base, is no longer run"),
    ([recorded()], recorded(has_ended=False), "the runner was ended before its last test"),
    (
        [recorded(counts=ONE_FAILED)],
        recorded(counts=Counts(passed=1, failed=3)),
        "counts 2 failures",
    ),
    (
        [recorded(counts=Counts(passed=1, failed=2)), recorded(counts=Counts(passed=1, failed=3))],
        recorded(counts=Counts(passed=1, failed=3), failures={"ERROR c.py": 1}),
        "counts 2 failures",
    ),
    (
        [recorded(counts=ONE_FAILED)],
        recorded(counts=Counts(passed=1, failed=2), failures={"ERROR c.py": 1}),
        "ERROR c.py",
    ),
    ([recorded()], recorded(counts=Counts(passed=1, failed=2)), "counts 1 failures"),
    ([UNNAMED], UNNAMED, "counts 1 failures"),
    ([recorded(HERE)], recorded(THERE), "n.T.t"),
    ([recorded(SAME_TITLES), recorded(GREEN)], recorded(SAME_TITLES), "works"),
    ([of_go()], of_go("FAIL y"), "FAIL y"),
    ([of_go()], of_go("FAIL x [build failed]"), "FAIL x [build failed]"),
    ([of_go()], of_go("panic: no"), "panic: no"),
    ([recorded()], recorded(exit_code=2), "it ends with exit code 2, on the base with 1"),
    # Names of failures.
    ([named("a")], run(1, lines={LINE: 1}), "it does not print how many tests ran"),
    ([named("a")], named("b"), "b"),
    ([named("a")], named("a", "a2", failed=2), "2 tests fail, and 1 on the base"),
    ([named("a")], named(failed=0, passed=1), "1 tests ran, and 3 on the base"),
    ([named("a")], named("a", passed=1), "2 tests ran, and 3 on the base"),
    # Lines.
    ([run(lines={LINE: 1})], run(lines={LINE: 2}), LINE),
    ([run(lines={LINE: 1})], run(lines={LINE: 1, "a new line": 1, "b.py:0: x": 1}), "b.py:0: x"),
]


@pytest.mark.parametrize(("looks", "now", "own"), OWN)
def test_what_the_change_is_charged_with(looks, now, own):
    found = compare("pytest", looks, now)
    assert not found.unknown
    assert any(own in one for one in found.own), found
    assert not set(found.own) & set(found.before)


BEFORE = [
    ([covered(80)], covered(80), ("coverage was 80 %",), "coverage"),
    ([covered(80)], covered(85), ("coverage was 80 %",), "coverage"),
    ([under(80)], under(81, "a word more"), ("coverage was 80 %",), "coverage"),
    ([recorded()], recorded(), ("a.py::a",), "tests"),
    ([recorded()], recorded({**RED, "a.py::c": "passed"}), ("a.py::a",), "tests"),
    ([NAMED], NAMED, ("a.py::a",), "tests"),
    (
        [recorded(counts=Counts(passed=1, failed=1), failures={"FAILED a - x": 1})],
        recorded(counts=Counts(passed=1, failed=1), failures={"FAILED a - y": 1}),
        ("a.py::a",),
        "tests",
    ),
    ([of_go("FAIL y 0.1s")], of_go("FAIL y 0.2s"), ("x::TestA",), "tests"),
    ([of_go("a word")], of_go("another word"), ("x::TestA",), "tests"),
    ([named("a")], named("a"), ("a",), "names of failures"),
    ([named("a", "b", failed=2)], named("a", passed=3), ("a",), "names of failures"),
    ([run(lines={LINE: 2})], run(lines={LINE: 1}), (LINE,), "lines"),
    ([run(lines={LINE: 1, "a word": 1})], run(lines={LINE: 1}), (LINE,), "lines"),
    ([run(2, lines={LINE: 1}), run(1, lines={LINE: 1})], run(1, lines={LINE: 1}), (LINE,), "lines"),
]


@pytest.mark.parametrize(("looks", "now", "before", "by"), BEFORE)
def test_what_the_base_had_is_not_charged(looks, now, before, by):
    found = compare("pytest", looks, now)
    assert (found.own, found.before, found.by, found.unknown) == ((), before, by, "")


UNKNOWN = [
    ([run(1, headline="x")], covered(80), "coverage of the base is not known"),
    ([covered(80), run(1)], covered(80), "coverage of the base is not known"),
    ([covered(80)], run(0, headline="x"), "coverage of the base is not known"),
    ([recorded(), run(lines={LINE: 1})], recorded(), "not known in each run"),
    ([recorded(has_ended=False)], recorded(), "ends before its last test on the base"),
    ([recorded({"a.py::a": "failed"})], recorded({"a.py::a": "failed"}), "no test passes"),
    ([named("a", passed=0)], named("a", passed=0), "no test passes on the base"),
    ([named("a"), run(1)], named("a"), "no test passes on the base"),
    ([named("a")], named("a", failed=2), "more failures than it names"),
    ([named("a", failed=2)], named("a"), "more failures than it names"),
    ([named("a")], named("a", "coverage is 7 %"), "a figure differs: coverage is 7 %"),
    ([named("a")], named(failed=0, passed=3), "no failed test is named"),
    ([run(lines={"no": 1})], run(lines={"no": 1}), "names no place in a file"),
    ([run(lines={LINE: 1, "too many errors": 1})], run(lines={LINE: 1}), "does not check every"),
    ([run(lines={LINE: 1})], run(lines={LINE: 1, "a new line": 1}), "names no failure: a new line"),
    ([run(lines={LINE: 1})], run(2, lines={}), "without a failure that the base has"),
    ([run(lines={LINE: 1})], run(lines={}), "without a failure that the base has"),
]


@pytest.mark.parametrize(("looks", "now", "unknown"), UNKNOWN)
def test_what_proves_nothing(looks, now, unknown):
    found = compare("pytest", looks, now)
    assert unknown in found.unknown
    assert not found.own


@pytest.mark.parametrize("line", [LINE, "FAILED a", "AssertionError: no", "Cannot find module x"])
def test_a_command_of_more_than_tests_is_charged_with_no_line_that_it_does_not_know(line):
    for base in (recorded(), under(80)):
        now = base.model_copy(update={"lines": {**base.lines, line: 1}})
        assert line in compare("make test", [base], now).unknown
        assert not compare("pytest -q", [base], now).unknown
        assert not compare("make test", [now, now], now).unknown


def test_a_command_of_more_than_tests_may_print_its_own_minimum_and_other_words():
    now = recorded(lines={MINIMUM.format(80): 1, "a word": 1})
    assert compare("make test", [recorded()], now).before == ("a.py::a",)
    more = covered(81).model_copy(update={"lines": {LINE: 1}})
    assert not compare("make check", [covered(80)], more).unknown


def test_a_lost_test_of_a_path_that_the_request_allows_is_not_charged():
    now = recorded({"a.py::a": "failed"})
    assert not compare("pytest", [recorded()], now, ["a.*"]).own
    assert compare("pytest", [recorded()], now, ["b.*"]).own
