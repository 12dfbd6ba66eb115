"""The gate `tests`: its command passes, and at least one test ran."""

from __future__ import annotations

import re

from orchestrator.gates.checks._counts import count_tests
from orchestrator.gates.checks._running import run_command
from orchestrator.gates.checks._said import capped
from orchestrator.interfaces.gate import GateInput, PlannedGate
from orchestrator.models import GateResult, GateStatus

#: Tools that print the number of tests; without that number, another program ran instead.
_COUNTING = re.compile(
    r"\b(?:pytest|unittest|jest|vitest|mocha|(?:go|cargo|bun|node\s+--)\s*test)\b"
)
#: Tools that run the commands of a file of the tree; an emptied command prints nothing.
_RUNNING = re.compile(r"\b(?:make|npm|npx|yarn|pnpm|bun|tox|nox)\b")
#: Pytest's exit code for no collected tests, at any verbosity.
_PYTEST_NOTHING = 5
_SILENT = "did not say how many tests it ran: have it print its runner's summary"


class Tests:
    """Decides by the end of the command and by the number of tests in its output."""

    asks_model = False

    def evaluate(self, gate: PlannedGate, subject: GateInput) -> GateResult:
        """Check the subject; any failure is a result, never a pass."""
        result, lines = run_command(gate, subject)
        if result.status not in {GateStatus.PASSED, GateStatus.FAILED}:
            return result
        command = f"{gate.command}\n{gate.script}"
        counts = count_tests(lines)
        if counts is None:
            is_silent = _RUNNING.search(gate.command or "") and not any(lines)
            if result.status is GateStatus.PASSED and (is_silent or _COUNTING.search(command)):
                return _ended(result, GateStatus.ERRORED, _SILENT)
            is_empty = result.exit_code == _PYTEST_NOTHING and "pytest" in command
            return _ended(result, result.status, "no tests were run") if is_empty else result
        if counts.ran == 0:
            return _ended(result, GateStatus.FAILED, f"no tests were run: {counts}")
        if counts.failed or result.status is GateStatus.FAILED:
            return _ended(result, GateStatus.FAILED, str(counts))
        return result.model_copy(update={"detail": str(counts)})


def _ended(result: GateResult, status: GateStatus, headline: str) -> GateResult:
    return result.model_copy(update={"status": status, "detail": capped([headline, result.detail])})


def build(settings: object) -> Tests:
    """Build the check."""
    del settings
    return Tests()
