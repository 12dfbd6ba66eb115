"""Runs a gate's command and decides by its end; every check with a command uses it."""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Sequence

from orchestrator.errors import BackendUnavailable, WorkspaceLost
from orchestrator.gates.checks._imports import import_paths, imported_from_elsewhere
from orchestrator.gates.checks._said import plain_lines, quote
from orchestrator.interfaces.gate import GateInput, PlannedGate
from orchestrator.interfaces.run import Completed
from orchestrator.models import GateResult, GateStatus

#: A shell's exit codes for a program that may not be run or does not exist.
_NOT_RUNNABLE = (126, 127)
#: A shell ends with this number plus the signal that ended its command.
_SIGNALLED = 128
#: The messages of interpreters, make and cargo for a missing program, under their own exit codes.
_NOT_INSTALLED = re.compile(
    r"\S*python[\d.]*: No module named \S+"
    r"|make(?:\[\d+\])?: \*\*\* .*\bError 12[67]"
    r"|error: no such command: .*"
    r"|error: rustup could not choose a version of .*|error: toolchain '.*' is not installed"
)


def run_command(gate: PlannedGate, subject: GateInput) -> tuple[GateResult, tuple[str, ...]]:
    """Run the gate's command in the subject's checkout; return its result and its output.

    It passes only with exit code 0 and complete output.
    """
    if gate.command is None:
        return GateResult(name=gate.name, status=GateStatus.MISSING, detail=gate.hint), ()
    paths = import_paths(subject.checkout)
    try:
        if fault := imported_from_elsewhere(gate, subject, paths):
            errored = GateStatus.ERRORED
            return GateResult(
                name=gate.name, status=errored, command=gate.command, detail=fault
            ), ()
        ended = subject.run(("/bin/sh", "-c", gate.command), paths, b"", gate.timeout_s)
    except (BackendUnavailable, WorkspaceLost) as error:
        errored = GateStatus.ERRORED
        return GateResult(
            name=gate.name, status=errored, command=gate.command, detail=str(error)
        ), ()
    lines = plain_lines(ended.stdout, ended.stderr)
    status, detail = _judged(ended, lines, gate)
    result = GateResult(
        name=gate.name,
        status=status,
        command=gate.command,
        duration_ms=ended.duration_ms,
        exit_code=ended.exit_code,
        detail=detail,
        output_digest=hashlib.sha256(ended.stdout + ended.stderr).hexdigest(),
    )
    return result, lines


def _judged(ended: Completed, lines: Sequence[str], gate: PlannedGate) -> tuple[GateStatus, str]:
    if ended.timed_out:
        headline = f"not finished after {gate.timeout_s:g} s, and ended"
        return GateStatus.TIMED_OUT, quote(headline, lines)
    if number := _signal(ended.exit_code):
        return GateStatus.ERRORED, quote(_ended_by(number), lines)
    if ended.exit_code and (lack := _lack(ended.exit_code, lines)):
        return GateStatus.ERRORED, quote(f"needs a tool that is not installed: {lack}", lines)
    if ended.exit_code:
        return GateStatus.FAILED, quote(f"exit code {ended.exit_code}", lines)
    if ended.truncated:
        # The lost output may say that no test ran.
        return GateStatus.ERRORED, quote("printed more than is kept: make it say less", lines)
    return GateStatus.PASSED, next((line for line in reversed(lines) if line), "")


def _signal(exit_code: int) -> int | None:
    number = -exit_code if exit_code < 0 else exit_code - _SIGNALLED
    return number if number in signal.valid_signals() else None


def _ended_by(number: int) -> str:
    name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    memory = number == signal.SIGKILL
    return f"ended by {name}{': the memory it may use may have run out' if memory else ''}"


def _lack(exit_code: int, lines: Sequence[str]) -> str | None:
    spoken = [line for line in lines if line]
    if exit_code in _NOT_RUNNABLE:
        return spoken[-1] if spoken else f"exit code {exit_code}"
    return next((line for line in spoken[:1] + spoken[-1:] if _NOT_INSTALLED.fullmatch(line)), None)
