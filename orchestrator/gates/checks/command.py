"""A gate that passes when its command does: typecheck, lint, build, integration."""

from __future__ import annotations

from orchestrator.gates.checks._running import run_command
from orchestrator.interfaces.gate import GateInput, PlannedGate
from orchestrator.models import GateResult


class Command:
    """Judges by how the command ends."""

    asks_model = False

    def evaluate(self, gate: PlannedGate, subject: GateInput) -> GateResult:
        """Judge the subject; whatever goes wrong is a result, never a pass."""
        result, _ = run_command(gate, subject)
        return result


def build(settings: object) -> Command:
    """Build the check."""
    del settings
    return Command()
