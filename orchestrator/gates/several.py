"""One gate with several commands: each runs on a checkout of its own, and all must pass."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.gates.checks._said import QUOTED_CHARACTERS, capped
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import GateResult, GateStatus

Judged = tuple[PlannedGate, GateResult]

#: The worst result decides; the worst ones are those that no rework round could fix.
_FROM_WORST = (
    GateStatus.MISSING,
    GateStatus.ERRORED,
    GateStatus.TIMED_OUT,
    GateStatus.FAILED,
    GateStatus.RED_BEFORE,
    GateStatus.PASSED,
    GateStatus.NOT_APPLICABLE,
)


def run_all(
    commands: Sequence[PlannedGate],
    run: Callable[[PlannedGate, str], GateResult],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Judged, ...]:
    """Run each command of one gate; `run` gets a name for its checkout.

    All commands run, whatever the results of the others are, within the time of the gate. If one
    cannot run at all, the gate is missing and none runs.
    """
    lacking = [gate for gate in commands if gate.command is None and gate.hint]
    started, judged = clock(), list[Judged]()
    for number, gate in enumerate(lacking or commands):
        spent_s = clock() - started
        place = f"{gate.name}.{number}" if number else gate.name
        if gate.not_applicable:
            result = _not_applicable(gate)
        elif number and gate.timeout_s <= spent_s:
            result = _timed_out(gate)
        else:
            result = run(replace(gate, timeout_s=gate.timeout_s - spent_s), place)
        judged.append((gate, result))
    return tuple(judged)


def merged(judged: Sequence[Judged]) -> GateResult:
    """Return the result of a gate: the worst of its commands, with the evidence of each."""
    if len(judged) == 1:
        (gate, result) = judged[0]
        return result.model_copy(update={"command": shown(gate, result.command)})
    commands = [f"({shown(gate, gate.command)})" for gate, _ in judged if gate.command]
    judged = sorted(judged, key=lambda pair: _FROM_WORST.index(pair[1].status))
    results = [result for _, result in judged]
    room = QUOTED_CHARACTERS // len(judged) - 1
    parts = [
        f"{result.status.value.replace('_', ' ')}: {shown(gate, gate.command) or gate.name}\n"
        f"{result.detail}"[:room]
        for gate, result in judged
    ]
    digests = "".join(result.output_digest or "-" for result in results)
    return GateResult(
        name=results[0].name,
        status=results[0].status,
        command=" && ".join(commands) or None,
        duration_ms=sum(result.duration_ms for result in results),
        exit_code=results[0].exit_code,
        detail=capped(parts),
        output_digest=hashlib.sha256(digests.encode()).hexdigest(),
    )


def shown(gate: PlannedGate, command: str | None) -> str | None:
    """Return a command as a user would type it at the root of the repository."""
    return f"cd {gate.folder} && {command}" if gate.folder and command else command


def folder_fault(checkout: Path, gate: PlannedGate) -> GateResult | None:
    """Return why a command cannot run in its folder: the change removed or replaced it."""
    folder = checkout
    for part in Path(gate.folder).parts:
        folder /= part
        if folder.is_symlink() or not folder.is_dir():
            detail = f"the change has no folder {gate.folder}, in which the base commit runs this"
            return GateResult(
                name=gate.name, status=GateStatus.FAILED, command=gate.command, detail=detail
            )
    return None


def _not_applicable(gate: PlannedGate) -> GateResult:
    detail = f"not applicable, as the repository says: {gate.not_applicable}"
    return GateResult(name=gate.name, status=GateStatus.NOT_APPLICABLE, detail=detail)


def _timed_out(gate: PlannedGate) -> GateResult:
    detail = "not started: the commands before it took the time of the gate"
    return GateResult(
        name=gate.name, status=GateStatus.TIMED_OUT, command=gate.command, detail=detail
    )
