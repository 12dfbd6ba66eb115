"""Which runs of base commits a worker process remembers."""

from __future__ import annotations

from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import GateStatus
from orchestrator.stages.gate_check import base_tests
from orchestrator.stages.gate_check.base_tests import BaseRuns
from tests.unit.stages.gate_check.runs import gate, run


def test_a_passed_run_of_a_base_is_kept_by_what_ran():
    runs, made = BaseRuns(), []

    def ask(base: str, of: PlannedGate, status=GateStatus.PASSED) -> None:
        runs.get(base, of, lambda: made.append((base, of)) or run(status))

    different = (gate(), gate("integration"), gate(folder="web"), gate(command="pytest b"))
    for _ in range(2):
        for of in different:
            ask("1", of)
    assert made == [("1", of) for of in different]
    ask("2", gate(), GateStatus.FAILED)
    ask("2", gate())
    ask("2", gate())
    assert len(made) == len(different) + 2


def test_the_oldest_run_of_a_base_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(base_tests, "_MOST_KEPT", 2)
    runs, made = BaseRuns(), []
    for base in "123321":
        runs.get(base, gate(), lambda base=base: made.append(base) or run())
    assert made == ["1", "2", "3", "1"]
