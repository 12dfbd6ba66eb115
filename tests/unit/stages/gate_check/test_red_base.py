"""Each rule of the policy for a gate that fails; `tests/unit/gates` runs real tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.gates.base_records import BaseRecords
from orchestrator.gates.run_record import make_record
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.interfaces.run import Completed
from orchestrator.models import GateResult, GateStatus, Stage
from orchestrator.settings import load_settings
from orchestrator.stages.gate_check import base_tests
from orchestrator.stages.gate_check.red_base import RedBase

PASSED, FAILED = GateStatus.PASSED, GateStatus.FAILED
ERRORED, TIMED_OUT = GateStatus.ERRORED, GateStatus.TIMED_OUT
LINT = PlannedGate("lint", Stage.PRE_COMMIT, "lint .", 60)


def run(status=FAILED, *lines: str, code=1, has_record=True) -> base_tests.TestRun:
    """A run whose program printed these lines; the result says `said` with its status."""
    detail = f"said {status.value}"
    result = GateResult(name="lint", status=status, command="x", duration_ms=1, detail=detail)
    output = "\n".join(lines).encode()
    ended = Completed(code, output, b"", timed_out=False, truncated=False, duration_ms=1)
    record = make_record(result, ended, None, ()) if has_record else None
    return base_tests.TestRun(result, record=record)


@dataclass
class Base:
    """A base commit on which the command ends in these ways, one after the other."""

    home: Path
    ends: Sequence[base_tests.TestRun]
    policy: str = "compare"
    edits: tuple[str, ...] = ()
    asked: int = 0

    def judged(self, now: base_tests.TestRun, *edits: str, gate=LINT) -> base_tests.TestRun:
        def run_on_base(_: PlannedGate) -> base_tests.TestRun:
            self.asked += 1
            return self.ends[self.asked - 1]

        records = BaseRecords(load_settings({"ORCHESTRATOR_HOME": str(self.home)}), "shim")
        policy = RedBase(
            policy=self.policy,
            records=records,
            base="b" * 40,
            environment=None,
            run=run_on_base,
            check=lambda: None,
            edits=self.edits,
        )
        return policy.judged(gate, now, edits)

    def end(self, now: base_tests.TestRun, *edits: str) -> tuple[GateStatus, list[str]]:
        """The status after the comparison with the base, and the lines of its detail."""
        result = self.judged(now, *edits).result
        return result.status, result.detail.splitlines()


OLD, NEW = "a.py:1:2: old", "b.py:1:2: new"


@pytest.mark.parametrize(
    ("now", "gate"),
    [
        (run(FAILED, OLD), PlannedGate("lint", Stage.PRE_COMMIT, None, 60)),
        (run(FAILED, OLD, has_record=False), LINT),
        (run(PASSED), LINT),
        (run(GateStatus.MISSING), LINT),
    ],
)
def test_the_base_runs_only_for_a_command_that_fails(tmp_path, now, gate):
    base = Base(tmp_path, [run(FAILED, OLD)] * 2)
    assert base.judged(now, gate=gate) is now
    assert base.asked == 0


@pytest.mark.parametrize(
    ("ends", "number"),
    [
        ([run(PASSED)], 1),
        ([run(TIMED_OUT)], 1),
        ([run(FAILED, OLD)] * 2, 2),
        ([run(ERRORED)] * 2, 2),
        ([run(FAILED, OLD), run(PASSED)], 2),
    ],
)
def test_a_base_that_fails_or_cannot_run_is_given_a_second_run(tmp_path, ends, number):
    base = Base(tmp_path, ends)
    for _ in range(2):
        base.judged(run(FAILED, OLD))
    assert base.asked == number


@pytest.mark.parametrize(
    ("now", "ends", "status", "said"),
    [
        (run(FAILED, OLD), [run(PASSED)], FAILED, ""),
        (
            run(FAILED, OLD),
            [run(FAILED, OLD), run(PASSED)],
            FAILED,
            "flaky: it passed on the base commit in one of two runs",
        ),
        (
            run(ERRORED),
            [run(ERRORED), run(PASSED)],
            ERRORED,
            "flaky: it passed on the base commit in one of two runs",
        ),
        (
            run(TIMED_OUT),
            [run(TIMED_OUT)],
            ERRORED,
            "red on the base: it does not end there either",
        ),
        (
            run(ERRORED),
            [run(TIMED_OUT)],
            ERRORED,
            "the base commit is no excuse, for it could not be judged: said timed_out",
        ),
        (
            run(TIMED_OUT),
            [run(ERRORED)] * 2,
            TIMED_OUT,
            "the base commit is no excuse, for it could not be judged: said errored",
        ),
        (
            run(FAILED, OLD),
            [run(ERRORED)] * 2,
            FAILED,
            "the base commit is no excuse, for it could not be judged: said errored",
        ),
        (run(ERRORED), [run(ERRORED)] * 2, ERRORED, "on the base commit too: said errored"),
        (run(TIMED_OUT), [run(FAILED, OLD)] * 2, TIMED_OUT, ""),
        (run(ERRORED), [run(FAILED, OLD)] * 2, ERRORED, ""),
        (
            run(FAILED, OLD),
            [run(FAILED, OLD), run(ERRORED)],
            FAILED,
            "the base commit is no excuse, for it could not be judged: said errored",
        ),
    ],
)
def test_a_base_that_is_not_red_by_itself_each_time_is_no_excuse(tmp_path, now, ends, status, said):
    found, lines = Base(tmp_path, ends).end(now)
    assert found is status
    assert sorted(lines) == sorted(filter(None, [now.result.detail, said]))


def test_what_the_base_has_too_is_not_charged(tmp_path):
    status, lines = Base(tmp_path, [run(FAILED, OLD)] * 2).end(run(FAILED, "a.py:7:2: old"))
    assert status is GateStatus.RED_BEFORE
    assert lines == [
        "red on the base, and the change adds no failure (compared by lines)",
        "red on the base: a.py:0: old",
        "said failed",
    ]


def test_what_the_change_adds_is_charged_and_told_first(tmp_path):
    status, lines = Base(tmp_path, [run(FAILED, OLD)] * 2).end(run(FAILED, OLD, NEW))
    assert status is FAILED
    assert lines == [
        "new failures: 1; failures that the base has too, not charged: 1; compared by lines",
        "of this change: b.py:0: new",
        "red on the base: a.py:0: old",
        "said failed",
    ]


def test_of_many_failures_a_few_are_named_and_the_rest_are_counted(tmp_path):
    old = [f"a{n}.py:1:2: old" for n in range(8)]
    new = [f"b{n}.py:1:2: new" for n in range(14)]
    _, lines = Base(tmp_path, [run(FAILED, *old)] * 2).end(run(FAILED, *old, *new))
    assert lines.count("of this change: and 2 more") == 1
    assert lines.count("red on the base: and 2 more") == 1
    assert len(lines) == 1 + 13 + 7 + 1
    home = tmp_path / "exact"
    _, lines = Base(home, [run(FAILED, *old[:6])] * 2).end(run(FAILED, *old[:6], *new[:12]))
    assert not [line for line in lines if line.endswith("more")]


def test_outputs_that_cannot_be_compared_are_no_excuse(tmp_path):
    # The run of the base has no record of its output.
    status, lines = Base(tmp_path, [run(FAILED, has_record=False)] * 2).end(run(FAILED, OLD))
    assert status is ERRORED
    assert lines == [
        "red on the base, and cannot be compared with it: the output is not complete",
        "said failed",
    ]


@pytest.mark.parametrize("now", [run(FAILED, OLD), run(FAILED, OLD, NEW)])
def test_the_policy_refuse_names_what_to_do_and_compares_for_people(tmp_path, now):
    status, lines = Base(tmp_path, [run(FAILED, OLD)] * 2, policy="refuse").end(now)
    assert status is ERRORED
    assert lines[0].startswith("red on the base: this gate fails on the untouched base commit too.")
    assert "red on the base: a.py:0: old" in lines
    assert ("of this change: b.py:0: new" in lines) == (now.record.lines != {"a.py:0: old": 1})


EDITED = ", which decides what the gates check: a red gate is compared only without such an edit"


@pytest.mark.parametrize("are_known_before", [True, False])
def test_an_edit_of_what_decides_leaves_a_red_gate_uncompared(tmp_path, are_known_before):
    edit = "ruff.toml: check-config-edited"
    base = Base(tmp_path, [run(FAILED, OLD)] * 2, edits=(edit,) if are_known_before else ())
    shown = () if are_known_before else (edit,)
    status, lines = base.end(run(FAILED, OLD), *shown)
    assert status is FAILED
    assert f"of this change: {edit}{EDITED}"[:216] in lines
    # Failures of its own are told instead.
    _, lines = base.end(run(FAILED, OLD, NEW), *shown)
    assert [line for line in lines if line.startswith("of this")] == ["of this change: b.py:0: new"]
