"""The check of a gate that passes if its command does: typecheck, lint, build, integration."""

from __future__ import annotations

from orchestrator.gates.checks._running import run_command
from orchestrator.interfaces.gate import GateInput, PlannedGate
from orchestrator.models import GateResult


class Command:
    """Decides by the end of the command."""

    asks_model = False

    def evaluate(self, gate: PlannedGate, subject: GateInput) -> GateResult:
        """Check the subject; any failure is a result, never a pass."""
        result, _ = run_command(gate, subject)
        return result


def build(settings: object) -> Command:
    """Build the check."""
    del settings
    return Command()
