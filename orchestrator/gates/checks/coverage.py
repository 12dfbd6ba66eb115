"""The gate `coverage`: its command passes, and its report reaches the minimum."""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress

from orchestrator.gates.checks._measured import (
    has_data,
    measured_again,
    measured_files,
    report_options,
    rewritten,
)
from orchestrator.gates.checks._reports import ReportUnreadable, percent_of
from orchestrator.gates.checks._running import run_command
from orchestrator.gates.checks._said import capped
from orchestrator.gates.untrusted_file import read_untrusted
from orchestrator.interfaces.gate import GateInput, PlannedGate
from orchestrator.models import GateResult, GateStatus

#: The raw data from which tools make reports: coverage.py; nyc; c8 and vitest.
_RAW_DATA = re.compile(
    r"/\.coverage(?:\.[^/]*)?$|/\.nyc_output(?:/|$)|/coverage/\.?tmp(?:/[^/]*\.json)?$"
)
#: Reports round their figures, by their configuration to whole percents.
_TOLERANCE = 1.0


class Coverage:
    """Decides by the tool's report, never by its output."""

    asks_model = False

    def evaluate(self, gate: PlannedGate, subject: GateInput) -> GateResult:
        """Check the subject; any failure is a result, never a pass."""
        if gate.command is None:
            return run_command(gate, subject)[0]
        if gate.report is None or gate.minimum is None:
            return _errored(gate, "the plan names no report to read, or no minimum")
        try:
            # Opened before the command runs, so that a replacement of the checkout by the command
            # is not read.
            root = os.open(subject.checkout, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            return _errored(gate, f"the checkout cannot be read: {error.strerror}")
        try:
            return _judged(gate, subject, root, gate.report, gate.minimum)
        finally:
            os.close(root)


def _judged(
    gate: PlannedGate, subject: GateInput, root: int, report: str, minimum: float
) -> GateResult:
    if stale := _stale(root, report):
        return _errored(gate, stale)
    before = measured_files(root)
    result, _ = run_command(gate, subject)
    if result.status is not GateStatus.PASSED:
        return result
    if path := rewritten(before, measured_files(root)):
        said = (
            f"the run wrote {path}, from which its report is made: generate files before the gate"
        )
        return _ended(result, GateStatus.FAILED, said)
    content = read_untrusted(root, report)
    if not isinstance(content, bytes):
        return _ended(result, GateStatus.ERRORED, f"{report} {content or 'was not written'}")
    try:
        percent = percent_of(content)
    except ReportUnreadable as error:
        return _ended(result, GateStatus.ERRORED, f"{report} {error}")
    note, is_false = _compared(gate, subject, root, content)
    sign, status = ("≥", GateStatus.PASSED)
    if percent < minimum or is_false:
        sign, status = ("<" if percent < minimum else "≥", GateStatus.FAILED)
    return _ended(result, status, f"{_shown(percent)} % {sign} {minimum:g} %{note}")


def _compared(gate: PlannedGate, subject: GateInput, root: int, content: bytes) -> tuple[str, bool]:
    """Return what the data of the run say of a report, and whether the report is false.

    If the command does not show how it makes its report, a difference is reported only.
    """
    options = report_options(gate)
    if options is None and not has_data(root):
        return "", False
    again = measured_again(options or (), subject, root, content)
    if isinstance(again, str):
        return f", as its command reports; not computed from the data again: {again}", False
    if again >= percent_of(content) - _TOLERANCE:
        return "", False
    return f" in {gate.report}, but {_shown(again)} % by the data of the run", options is not None


def _stale(root: int, report: str) -> str | None:
    """Remove the data of other runs; return why the report would not belong to this run."""
    if (found := read_untrusted(root, report)) is not None:
        cause = "is in the tree already" if isinstance(found, bytes) else found
        return f"{report} {cause}: the report must be this run's own"
    try:
        # Tools would add it to the data of this run.
        for folder, folders, names, descriptor in os.fwalk(".", dir_fd=root):
            for name in folders + names:
                if _RAW_DATA.search(f"{folder}/{name}"):
                    # A link to a folder is removed, a folder is not.
                    with suppress(IsADirectoryError):
                        os.unlink(name, dir_fd=descriptor)
    except OSError as error:
        return f"data of an earlier run cannot be removed: {error.strerror}"
    return None


def _shown(percent: float) -> str:
    # Rounded down: 84.96 is not 85.
    return f"{math.floor(percent * 10) / 10:g}"


def _errored(gate: PlannedGate, cause: str) -> GateResult:
    return GateResult(name=gate.name, status=GateStatus.ERRORED, command=gate.command, detail=cause)


def _ended(result: GateResult, status: GateStatus, headline: str) -> GateResult:
    said = "" if status is GateStatus.PASSED else result.detail
    return result.model_copy(update={"status": status, "detail": capped([headline, said])})


def build(settings: object) -> Coverage:
    """Build the check."""
    del settings
    return Coverage()
