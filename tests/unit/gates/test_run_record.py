"""What the record of a run contains, and what it leaves out."""

from __future__ import annotations

import pytest

from orchestrator.gates import run_record
from orchestrator.gates.checks._counts import Counts
from orchestrator.gates.outcomes import Outcomes
from orchestrator.gates.run_record import RunRecord, make_record
from orchestrator.interfaces.run import Completed
from orchestrator.models import GateResult, GateStatus


def record(output: str) -> RunRecord:
    """The record of a gate that failed with this output."""
    result = GateResult(name="lint", status=GateStatus.FAILED, command="lint", duration_ms=1)
    ended = Completed(1, output.encode(), b"", timed_out=False, truncated=False, duration_ms=1)
    return make_record(result, ended, None, ["/w/tree", "/w"])


def test_a_line_of_any_length_has_a_short_name():
    (name,) = record("x" * 5_000).lines
    assert len(name) < 100
    assert record("x" * 5_001).lines.keys() != {name}


def test_a_run_with_too_many_different_lines_is_not_complete(monkeypatch):
    monkeypatch.setattr(run_record, "_MOST_LINES", 3)
    assert record("a\nb\nc").is_complete
    cut = record("a\nb\nFAILED x::y\nFAILED x::z")
    assert (cut.is_complete, cut.lines, cut.failures) == (False, {}, {})


def test_an_excerpt_of_the_source_is_left_out_and_the_same_text_elsewhere_is_not():
    below = record("a finding\n  --> a.py:1:2\n   |\n1  | import os\nanother finding\n")
    assert below.lines == {"a finding --> a.py:0": 1, "another finding": 1}
    assert record("  | import os\n- a\n").lines == {"  | import os": 1, "- a": 1}


@pytest.mark.parametrize(("failed", "measured"), [(0, 71.0), (1, None)])
def test_an_own_minimum_is_known_only_if_no_test_fails(failed, measured):
    line = "Coverage failure: total of 71 is less than fail-under=80"
    counts = Counts(passed=3, failed=failed, skipped=0)
    run = RunRecord(status=GateStatus.FAILED, exit_code=2, counts=counts, lines={line: 1})
    assert run.measured == measured


def test_a_failed_test_is_named_without_its_reason_and_without_times():
    named = record("FAILED a.py::one - assert 1 == 2\nnot ok 7 - adds (3.1 ms)\n").failures
    assert named == {"FAILED a.py::one": 1, "adds (0s)": 1}


def test_a_finding_of_eslint_has_the_name_of_its_file_and_no_place():
    found = record(
        "/w/tree/a.js\n  1:2  error  x  no-x\n  9:9  error  y  no-y\nb.js\n  1:2  error  x\n"
    )
    assert found.lines == {
        "a.js": 1,
        "a.js 0:0  error  x  no-x": 1,
        "a.js 0:0  error  y  no-y": 1,
        "b.js": 1,
        "b.js 0:0  error  x": 1,
    }


@pytest.mark.parametrize(
    ("line", "recorded"),
    [
        # A line that names a place, and one of a threshold, keep their other numbers.
        ("a.py:1:2: E501 line of 120", "a.py:0: E501 line of 120"),
        ("coverage is 71 of 80", "coverage is 71 of 80"),
        ("found 3 problems", "found 0 problem"),
    ],
)
def test_numbers_that_differ_each_time_are_left_out(line, recorded):
    assert list(record(line).lines) == [recorded]


@pytest.mark.parametrize(
    ("exit_code", "headline", "line", "measured"),
    [
        (0, "42.5 % < 90 %", "x", 42.5),
        (0, "no report", "x", None),
        (1, "42.5 % < 90 %", "x", None),
        (1, "x", "FAIL Required test coverage of 90% not reached. Total coverage: 42.50%", 42.5),
    ],
)
def test_a_figure_is_that_of_the_gate_or_of_its_tool(exit_code, headline, line, measured):
    run = RunRecord(
        status=GateStatus.FAILED,
        exit_code=exit_code,
        headline=headline,
        counts=Counts(passed=3),
        lines={line: 1},
    )
    assert run.measured == measured


def test_a_record_says_what_its_output_lacks():
    detail = "first\nsecond"
    result = GateResult(
        name="lint", status=GateStatus.FAILED, command="x", duration_ms=1, detail=detail
    )
    ended = Completed(1, b"a\n", b"", timed_out=False, truncated=True, duration_ms=1)
    made = make_record(result, ended, Outcomes({"a::x": "passed"}, has_ended=False), ())
    assert (made.headline, made.is_complete, made.has_ended) == ("first", False, False)


def test_a_frame_of_a_stack_names_no_place_of_a_finding():
    assert run_record.has_position("a.js:1:2: bad")
    assert not run_record.has_position("    at add (a.js:1:2)")
    assert not run_record.has_position("make[1]: *** [a.mk:3: all] Error 1")
