"""`orchestrator.stages.gate_check.recording`: which programs are recorded, and which run again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestrator.gates.reporters import Recorder
from orchestrator.interfaces.run import Completed
from orchestrator.models import GateResult, GateStatus
from orchestrator.stages.gate_check.gate_trace import Reads
from orchestrator.stages.gate_check.recording import Recording

COMMAND = ("/bin/sh", "-c", "node --test")
PASSED = Completed(0, b"# tests 2\n# pass 2\n", b"", False, False, 1)
FAILED = Completed(1, b"# tests 2\n# pass 1\n# fail 1\n", b"", False, False, 1)
#: A node without this option.
BROKEN = Completed(9, b"", b"node: bad option: --test-reporter=file:///x", False, False, 1)
CHATTY = replace(PASSED, truncated=True)


@dataclass
class Programs:
    """Programs that end as it is said, and what each of them was given."""

    ends: list[Completed]
    recorded: list[bool] = field(default_factory=list)
    limits_s: list[float] = field(default_factory=list)

    def start(self, _argv: object, env: dict[str, str], _stdin: object, timeout_s: float):
        self.recorded.append("ORCH_OUTCOMES" in env)
        self.limits_s.append(timeout_s)
        time.sleep(0.002)
        return self.ends[len(self.recorded) - 1]


def recording(tmp_path: Path, programs: Programs) -> Recording:
    return Recording(Recorder.install(tmp_path / "outcomes"), programs.start)


@pytest.mark.parametrize(
    ("first", "limit_s", "recorded"),
    [
        (PASSED, 60.0, [True]),
        (FAILED, 60.0, [True]),
        (BROKEN, 60.0, [True, False]),
        (CHATTY, 60.0, [True, False]),
        # Nothing of the gate's time is left.
        (replace(BROKEN, timed_out=True), 60.0, [True]),
        (CHATTY, 0.001, [True]),
    ],
    ids=["passed", "failed", "no-recorder", "prints-too-much", "timed-out", "no-time-left"],
)
def test_a_command_that_a_recorder_disturbs_runs_once_more_without_it(
    tmp_path, first, limit_s, recorded
):
    programs = Programs([first, PASSED])
    ended = recording(tmp_path, programs).run(COMMAND, {}, b"", limit_s)
    assert programs.recorded == recorded
    assert ended == programs.ends[len(recorded) - 1]
    assert programs.limits_s == sorted(programs.limits_s, reverse=True)


def test_a_program_of_the_check_beside_the_command_is_not_recorded(tmp_path):
    """The check of coverage makes its report again, and that end is none of the tests."""
    programs = Programs([FAILED, PASSED])
    tests = recording(tmp_path, programs)
    tests.run(COMMAND, {}, b"", 9.0)
    assert tests.run(("coverage", "json"), {}, b"", 9.0) == PASSED
    assert programs.recorded == [True, False]
    assert tests.ended == FAILED


@pytest.mark.parametrize(
    ("status", "ended"), [(GateStatus.PASSED, PASSED), (GateStatus.FAILED, FAILED)]
)
def test_only_a_run_that_did_not_pass_is_kept_with_its_output(tmp_path, status, ended):
    tests = recording(tmp_path, Programs([ended]))
    tests.run(COMMAND, {}, b"", 9.0)
    result = GateResult(name="tests", status=status, command="node --test", duration_ms=1)
    run = tests.test_run(result, tmp_path / "tree", Reads())
    assert run.counts is not None
    assert run.counts.ran == 2
    assert (run.record is None) is status.is_pass
