"""The recording of one command of a gate: its output, and the outcomes of its tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.gates.checks._counts import count_tests
from orchestrator.gates.checks._said import plain_lines
from orchestrator.gates.reporters import Recorder
from orchestrator.gates.run_record import make_record
from orchestrator.interfaces.run import Completed
from orchestrator.models import GateResult
from orchestrator.stages.gate_check.base_tests import TestRun
from orchestrator.stages.gate_check.gate_trace import SHELL, Reads


@dataclass
class Recording:
    """Runs the programs of a gate, tests with a recorder, and keeps how its command ended."""

    recorder: Recorder | None
    start: Callable[[Sequence[str], Mapping[str, str], bytes, float], Completed]
    ended: Completed | None = None

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], stdin: bytes, timeout_s: float
    ) -> Completed:
        """Run a program as `GateInput.run` does.

        If a tool of the program cannot load a recorder, or prints too much because of it, the
        program runs once more without one.
        """
        if tuple(argv[:-1]) != SHELL:
            # A program of the check beside the command, such as one that reads its data.
            return self.start(argv, env, stdin, timeout_s)
        if self.recorder is None:
            self.ended = self.start(argv, env, stdin, timeout_s)
            return self.ended
        started = time.monotonic()
        recorded = self.recorder.environment(env)
        self.ended = self.start(argv, recorded, stdin, timeout_s)
        output = self.ended.stdout + self.ended.stderr
        left_s = timeout_s - (time.monotonic() - started)
        is_broken = self.ended.truncated or self.recorder.is_broken(self.ended.exit_code, output)
        if is_broken and not self.ended.timed_out and left_s > 0:
            self.ended = self.start(argv, env, stdin, left_s)
        return self.ended

    def test_run(self, result: GateResult, checkout: Path, reads: Reads) -> TestRun:
        """Return what is known of this run; `reads` is its trace."""
        places = (str(checkout), str(checkout.parent))
        if self.ended is None:
            return TestRun(result, reads=reads)
        outcomes, counts = None, None
        if self.recorder is not None:
            outcomes = self.recorder.outcomes(self.ended.stdout + b"\n" + self.ended.stderr)
            counts = count_tests(plain_lines(self.ended.stdout, self.ended.stderr))
        if result.status.is_pass:
            return TestRun(result, outcomes, counts, reads=reads)
        record = make_record(result, self.ended, outcomes, places)
        return TestRun(result, outcomes, counts, record, reads)
