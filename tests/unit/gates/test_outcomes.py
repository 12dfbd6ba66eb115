"""Outcomes of tests: what a run recorded, and which tests of the base another run has lost."""

from __future__ import annotations

import json

import pytest

from orchestrator.gates import outcomes as outcomes_module
from orchestrator.gates.outcomes import (
    Outcomes,
    go_outcomes,
    lost_tests,
    name_of,
    recorded_outcomes,
)


def lost(base: dict, now: dict, *, must_pass: bool = False) -> dict[str, str]:
    found = lost_tests(Outcomes(base), Outcomes(now), must_pass=must_pass)
    return {one.name: one.how for one in found}


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("tests/test_a.py::TestA::test_b[x::y]", "TestA.test_b"),
        ("test_a.TestA.test_b", "TestA.test_b"),
        ("pkg.tests.test_a.TestA.test_b", "TestA.test_b"),
        ("adds numbers", "adds numbers"),
        ("v1.2.3 is parsed", "v1.2.3 is parsed"),
        ("TestA/case_1", "TestA/case_1"),
    ],
)
def test_a_name_has_no_file_and_no_parameters(test, name):
    assert name_of(test) == name


def test_a_moved_test_is_not_lost_and_a_lost_case_is():
    base = {"a.py::test_a[1]": "passed", "a.py::test_a[2]": "passed", "a.py::test_b": "failed"}
    moved = {test.replace("a.py", "b/c.py"): "passed" for test in base}
    assert not lost(base, moved)
    del moved["b/c.py::test_a[2]"]
    assert lost(base, moved) == {"test_a": "is no longer run"}
    moved["b/c.py::test_a[1]"] = "failed"
    assert lost(base, moved) == {"test_a": "is no longer run"}
    assert lost(base, moved, must_pass=True) == {"test_a": "fails"}


@pytest.mark.parametrize(
    ("now", "must_pass", "how"),
    [
        ("skipped", False, {"test_a": "is skipped"}),
        ("skipped", True, {"test_a": "is skipped"}),
        ("failed", False, {}),
        ("failed", True, {"test_a": "fails"}),
    ],
)
def test_how_a_test_is_lost(now, must_pass, how):
    assert lost({"a.py::test_a": "passed"}, {"a.py::test_a": now}, must_pass=must_pass) == how


def test_what_the_base_skips_cannot_be_lost():
    assert not lost({"a.py::test_a": "skipped"}, {})


def test_records_of_a_hostile_process_are_read_with_care():
    lines = [
        b'{"test": "a.py::test_a", "outcome": "passed"}',
        b'{"test": "a.py::test_a", "outcome": "failed"}',
        b'{"test": 7, "outcome": "passed"}',
        b'{"test": "a.py::test_b", "outcome": "excellent"}',
        b"[" * 100_000,
        b"[]",
        b"\xff\xfe",
        json.dumps({"test": "x" * 10_000, "outcome": "skipped"}).encode(),
    ]
    outcomes = recorded_outcomes(b"\n".join(lines))
    assert outcomes is not None
    assert outcomes.tests["a.py::test_a"] == "failed"
    assert len(outcomes.tests) == 2
    assert max(map(len, outcomes.tests)) < 1000
    assert not outcomes.are_plain
    assert not outcomes.has_ended
    ended = recorded_outcomes(b"\n".join([*lines, b'{"end": true}']))
    assert ended == Outcomes(outcomes.tests, has_ended=True)
    assert recorded_outcomes(b'{"end": true}\n') is None


@pytest.mark.parametrize("test", ["tests/run::a", "test_a.TestA.test_b"])
def test_the_last_phase_of_a_test_with_an_id_decides(test):
    records = (f'{{"test": "{test}", "outcome": "{how}"}}' for how in ("passed", "failed"))
    outcomes = recorded_outcomes("\n".join(records).encode())
    assert outcomes is not None
    assert outcomes.tests == {test: "failed"}


def test_titles_of_node_need_not_differ():
    outcomes = recorded_outcomes(b'{"test": "adds", "outcome": "passed"}\n' * 2)
    assert outcomes is not None
    assert outcomes.count("passed") == {"adds": 2}


def test_go_prints_its_outcomes():
    output = (
        b"=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- SKIP: TestA/case (0.00s)\n"
        b"said--- FAIL: TestB (1.00s)\nok  \texample.org/a\t0.1s\n--- PASS: TestA (0.00s)\n"
    )
    outcomes = go_outcomes(output)
    assert outcomes is not None
    assert outcomes.count("passed") == {"TestA": 2}
    assert outcomes.count("failed") == {"TestB": 1}
    assert outcomes.count("skipped") == {"TestA/case": 1}
    names = ("TestA", "TestA/case", "TestB")
    assert set(outcomes.tests) == {*(f"example.org/a::{name}" for name in names), "::TestA"}
    assert go_outcomes(b"ok  \texample.org/a\t0.1s\n") is None
    twice = go_outcomes(b"--- PASS: TestA (0.00s)\n--- FAIL: TestA (0.00s)\nFAIL\ta\t0.1s\n")
    assert twice is not None
    assert (twice.count("passed"), twice.count("failed")) == ({"TestA": 1}, {"TestA": 1})


def test_the_number_of_tests_that_are_compared_is_bounded(monkeypatch):
    monkeypatch.setattr(outcomes_module, "MOST_TESTS", 2)
    lines = [f'{{"test": "a.py::test_{one}", "outcome": "passed"}}'.encode() for one in range(4)]
    recorded = recorded_outcomes(b"\n".join(lines))
    assert recorded is not None
    assert len(recorded.tests) == 2
