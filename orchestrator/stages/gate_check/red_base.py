"""The policy for a gate that fails: what of it the untouched base has too is not the agent's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.gates.base_records import BaseRecord, BaseRecords
from orchestrator.gates.checks._said import capped
from orchestrator.gates.comparison import Comparison, compare
from orchestrator.gates.run_record import RunRecord, make_record
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.log import get_logger
from orchestrator.models import GateStatus
from orchestrator.stages.gate_check.base_tests import TestRun

_ASKED = frozenset({GateStatus.FAILED, GateStatus.TIMED_OUT, GateStatus.ERRORED})
_MOST_OWN, _MOST_BEFORE = 12, 6
_LINE_CHARACTERS = 200
#: The first words of a result that the base commit has too.
RED_ON_BASE = "red on the base"
_ADVICE = (
    f"{RED_ON_BASE}: this gate fails on the untouched base commit too. Fix it on the base branch,"
    ' or set red_base = "compare" in its [gates]'
)
_EDITED = ", which decides what the gates check: a red gate is compared only without such an edit"
#: The kinds of findings on what runs in a gate, or what it checks.
DECIDING = frozenset({
    "check-config-edited", "gate-command-edited", "tool-shadowed", "collection-changed",
    "threshold-lowered", "gate-file-changed",
})  # fmt: skip

log = get_logger("gates")


@dataclass(frozen=True)
class RedBase:
    """Judges the failed commands of one change by the runs of the same commands on its base."""

    #: `refuse` or `compare`.
    policy: str
    records: BaseRecords
    #: The id of the base commit.
    base: str
    environment: Environment | None
    #: Runs a command on a clean checkout of the base.
    run: Callable[[PlannedGate], TestRun]
    #: Raises an error that must end the wait for another agent's run.
    check: Callable[[], None]
    may_edit: Sequence[str] = ()
    #: The edits of the change that decide what its gates check, as `path: kind`.
    edits: Sequence[str] = ()

    def judged(self, gate: PlannedGate, run: TestRun, edits: Sequence[str] = ()) -> TestRun:
        """Return the run with the result that the change answers for.

        `edits` are those that the run itself has shown, beside `self.edits`.
        Every doubt leaves a result that does not pass: a base that passes once, that cannot run or
        that cannot be compared is no excuse.
        """
        result = run.result
        if gate.command is None or run.record is None or result.status not in _ASKED:
            return run
        base = self.record_of(gate)
        if result.status is GateStatus.FAILED and base.is_red:
            return self._compared(gate, run, run.record, base, (*self.edits, *edits))
        last, said = base.looks[-1], ""
        if base.has_passed:
            if len(base.looks) > 1:
                said = "flaky: it passed on the base commit in one of two runs"
        elif result.status is GateStatus.TIMED_OUT and last.status is GateStatus.TIMED_OUT:
            return _with(run, GateStatus.ERRORED, [f"{RED_ON_BASE}: it does not end there either"])
        elif result.status is last.status:
            said = f"on the base commit too: {last.headline}"
        elif base.is_fault:
            said = f"the base commit is no excuse, for it could not be judged: {last.headline}"
        return _with(run, result.status, [result.detail, said], is_whole=True) if said else run

    def record_of(self, gate: PlannedGate) -> BaseRecord:
        """Return the runs of a command on the base; make them if this host remembers none."""

        def run_once() -> RunRecord:
            run = self.run(gate)
            status = run.result.status
            log.info("gate ran on the base", base=self.base, gate=gate.name, status=status)
            return run.record or make_record(run.result, None, None, ())

        def run_twice() -> tuple[RunRecord, ...]:
            # What fails or cannot run once may pass the next time, and a time limit is long enough.
            first = run_once()
            is_final = first.status.is_pass or first.status is GateStatus.TIMED_OUT
            return (first,) if is_final else (first, run_once())

        return self.records.get(self.base, gate, self.environment, run_twice, self.check)

    def _compared(
        self,
        gate: PlannedGate,
        run: TestRun,
        record: RunRecord,
        base: BaseRecord,
        edits: Sequence[str],
    ) -> TestRun:
        command = f"{gate.command}\n{gate.script}"
        found = compare(command, base.looks, record, self.may_edit)
        if self.policy != "compare":
            return _with(run, GateStatus.ERRORED, [f"{_ADVICE}.", *_lists(found)])
        if found.unknown:
            why = f"{RED_ON_BASE}, and cannot be compared with it: {found.unknown}"
            return _with(run, GateStatus.ERRORED, [why])
        if not found.own:
            found = replace(found, own=tuple(f"{edit}{_EDITED}" for edit in edits))
        if found.own:
            headline = (
                f"new failures: {len(found.own)}; failures that the base has too, not charged:"
                f" {len(found.before)}; compared by {found.by}"
            )
            return _with(run, GateStatus.FAILED, [headline, *_lists(found)])
        headline = f"{RED_ON_BASE}, and the change adds no failure (compared by {found.by})"
        return _with(run, GateStatus.RED_BEFORE, [headline, *_lists(found)])


def _lists(found: Comparison) -> Iterator[str]:
    yield from _listed("of this change", found.own, _MOST_OWN)
    yield from _listed("red on the base", found.before, _MOST_BEFORE)


def _listed(word: str, failures: Sequence[str], most: int) -> Iterator[str]:
    yield from (f"{word}: {failure.strip()[:_LINE_CHARACTERS]}" for failure in failures[:most])
    if len(failures) > most:
        yield f"{word}: and {len(failures) - most} more"


def _with(
    run: TestRun, status: GateStatus, lines: Iterable[str], *, is_whole: bool = False
) -> TestRun:
    """Return a run with another status, and lines before what its command said."""
    said = [] if is_whole else [run.result.detail]
    result = run.result.model_copy(update={"status": status, "detail": capped([*lines, *said])})
    return replace(run, result=result)
