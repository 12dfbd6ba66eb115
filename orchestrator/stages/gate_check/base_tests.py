"""The second judge: the base's own tests on the changed sources, and the tests that are lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from orchestrator.gates.check_files import CheckFile
from orchestrator.gates.checks._counts import Counts
from orchestrator.gates.doctests import lost_examples
from orchestrator.gates.outcomes import LostTest, Outcomes, lost_tests
from orchestrator.gates.run_record import RunRecord
from orchestrator.host.cancel_scope import side_by_side
from orchestrator.interfaces.gate import FileChange, PlannedGate
from orchestrator.models import Finding, GateProfile, GateResult, GateStatus
from orchestrator.stages.gate_check.gate_trace import Reads

#: The gates whose commands run tests.
TEST_GATES = frozenset({"tests", "integration"})
#: The profiles whose changes the base's tests judge too.
PROFILES = frozenset({GateProfile.STANDARD, GateProfile.STRICT})
_MOST_FINDINGS = 50
_JUDGED = frozenset({GateStatus.PASSED, GateStatus.RED_BEFORE})
#: The number of runs of base commits that one worker process remembers.
_MOST_KEPT = 64
_DETAIL_CHARACTERS = 200
#: The runners with a recorder. If one of them reports no test, another program ran or it was ended.
_RECORDED = re.compile(r"\b(?:pytest|unittest|go\s+test|node\s+--test)\b")


@dataclass(frozen=True)
class TestRun:
    """One run of a test command, with what is known of its tests."""

    result: GateResult
    outcomes: Outcomes | None = None
    counts: Counts | None = None
    #: What the base is compared by, if the run fails.
    record: RunRecord | None = None
    #: The changed files that it opened.
    reads: Reads = field(default_factory=Reads)

    @property
    def ran(self) -> int | None:
        """The number of tests that ran; None if it is unknown."""
        if self.outcomes:
            return sum(self.outcomes.count("passed", "failed").values())
        return self.counts.ran if self.counts else None


#: Runs a test command on a tree: `base`, or `mixed`.
RunOn = Callable[[PlannedGate, str], TestRun]


@dataclass
class BaseRuns:
    """The runs of base commits, which many changes share; one object serves a worker process."""

    _runs: dict[tuple[str | None, ...], TestRun] = field(default_factory=dict)

    def get(self, base: str, gate: PlannedGate, run: Callable[[], TestRun]) -> TestRun:
        """Return the run of a base, from memory if it passed before."""
        key = (base, gate.name, gate.folder, gate.command)
        if key in self._runs:
            return self._runs[key]
        made = run()
        if made.result.status is GateStatus.PASSED:
            while len(self._runs) >= _MOST_KEPT:
                self._runs.pop(next(iter(self._runs)), None)
            self._runs[key] = made
        return made


@dataclass(frozen=True)
class BaseTests:
    """Compares the runs of a change with those of its base; pure but for `run_on`."""

    profile: GateProfile
    judged: Mapping[str, CheckFile]
    changes: Sequence[FileChange]
    run_on: RunOn

    def findings(self, runs: Iterable[tuple[PlannedGate, TestRun]]) -> tuple[Finding, ...]:
        """Return the tests of the base that fail or are lost, for the test commands that passed.

        A command that is red on the base has passed too, if the change adds no failure.

        If no file of the checks differs, one run is enough: the base's tests have judged the
        change. The base runs as well if a test was skipped, failed or not recorded, if a runner did
        not come to its end, and always under strict.
        """
        asked = [
            (gate, run)
            for gate, run in runs
            if gate.name in TEST_GATES and gate.command and run.result.status in _JUDGED
        ]
        found = [finding for gate, run in asked for finding in self._of_gate(gate, run)]
        found += self._of_examples(run for _, run in asked)
        shown = found[:_MOST_FINDINGS]
        if len(found) > len(shown):
            more = f"and {len(found) - len(shown)} more"
            shown.append(found[-1].model_copy(update={"detail": more}))
        return tuple(shown)

    def _of_gate(self, gate: PlannedGate, run: TestRun) -> Iterator[Finding]:
        touched = sorted(
            path
            for path in self.judged
            if path in run.reads.paths or _may_affect(path, gate.folder)
        )
        if not (touched or _is_doubtful(gate, run) or self.profile is GateProfile.STRICT):
            return
        trees = ("base", "mixed") if touched else ("base",)
        base, *mixed = side_by_side(lambda tree: self.run_on(gate, tree), trees)
        yield from self._compared(gate, run, base, mixed[0] if mixed else None, touched)

    def _of_examples(self, runs: Iterable[TestRun]) -> Iterator[Finding]:
        """Yield the examples of the base that are gone from sources whose examples are tests."""
        known = [run.outcomes for run in runs if run.outcomes]
        # The id of a test begins with the path of its file, from the folder of its runner.
        tested = {test.partition("::")[0] for each in known for test in each.tests if "::" in test}
        paths = {
            change.path
            for change in self.changes
            if change.path not in self.judged and not tested.isdisjoint(_tails(change.path))
        }
        for path, example in lost_examples(self.changes, paths):
            detail = f"the example {example[:_DETAIL_CHARACTERS]} with its result is gone"
            yield Finding(kind="test-lost", path=path, detail=detail)

    def _compared(
        self,
        gate: PlannedGate,
        change: TestRun,
        base: TestRun,
        mixed: TestRun | None,
        touched: Collection[str],
    ) -> Iterator[Finding]:
        if base.ran == 0 or (base.ran is None and base.result.status is not GateStatus.PASSED):
            # The base has no tests that could judge anything.
            return
        reported = set[str]()
        if change.result.status is GateStatus.RED_BEFORE:
            base = _without_red(base, change)
        for kind, now in (("base-tests", mixed), ("test-lost", change)):
            if now is None:
                continue
            must_pass = kind == "base-tests"
            if base.outcomes and now.outcomes:
                status = now.result.status
                for lost in _lost_tests(base.outcomes, now.outcomes, status, must_pass=must_pass):
                    if lost.name not in reported:
                        reported.add(lost.name)
                        yield self._lost(kind, lost, touched)
            elif fault := _fault(gate, base, now, must_pass=must_pass):
                yield Finding(kind=kind, path=self._path_of("", touched), detail=fault)
            if _is_cut(base, now):
                detail = f"the runner of {gate.name} was ended before its last test"
                yield Finding(kind=kind, path=self._path_of("", touched), detail=detail)

    def _lost(self, kind: str, lost: LostTest, touched: Collection[str]) -> Finding:
        if kind == "base-tests":
            how = {
                "fails": "fails on the changed sources",
                "is skipped": "is skipped on the changed sources",
                "is no longer run": "does not run on the changed sources",
            }[lost.how]
            detail = f"{lost.name}, a test as the base has it, {how}"
        else:
            detail = f"{lost.name}, which ran on the base, {lost.how}"
        return Finding(kind=kind, path=self._path_of(lost.name, touched), detail=detail)

    def _path_of(self, name: str, touched: Collection[str]) -> str:
        """Return the changed file that a person should look at: the test's own, if it differs."""
        word = name.rpartition(".")[2].split("/")[0].encode()
        for change in self.changes:
            if word and change.path in touched and word in (change.before or b""):
                return change.path
        others = [path for path in touched if self.judged[path] is not CheckFile.TEST]
        return next(iter([*others, *touched]), "")


def _tails(path: str) -> Iterator[str]:
    """Yield a path as it is from the root and from each folder above it."""
    parts = PurePosixPath(path).parts
    yield from ("/".join(parts[at:]) for at in range(len(parts)))


def _may_affect(path: str, folder: str) -> bool:
    """Return whether a file may affect the tests of a folder: it is inside, or above them."""
    above = str(PurePosixPath(path).parent)
    return (
        above == "."
        or f"{path}/".startswith(f"{folder}/")
        or not folder
        or (f"{folder}/".startswith(f"{above}/"))
    )


def _is_doubtful(gate: PlannedGate, run: TestRun) -> bool:
    """Return whether the records of a run say less than its command, which reports success."""
    if run.outcomes is None:
        return _RECORDED.search(f"{gate.command}\n{gate.script}") is not None
    return not run.outcomes.are_plain


def _lost_tests(
    base: Outcomes, now: Outcomes, status: GateStatus, *, must_pass: bool
) -> Iterator[LostTest]:
    """Yield the lost tests; a test that fails while its command reports success is lost too."""
    if status is GateStatus.PASSED:
        good = {test: ended for test, ended in base.tests.items() if ended == "passed"}
        yield from lost_tests(replace(base, tests=good), now, must_pass=True)
    yield from lost_tests(base, now, must_pass=must_pass)


def _fault(gate: PlannedGate, base: TestRun, now: TestRun, *, must_pass: bool) -> str:
    """Return what differs between two runs that cannot be compared test by test."""
    if must_pass and now.result.status is not GateStatus.PASSED:
        reason = (now.result.detail.splitlines() or ["-"])[0][:_DETAIL_CHARACTERS]
        status = now.result.status.value.replace("_", " ")
        return f"{gate.name} with the base's own tests and configuration: {status}, {reason}"
    if base.outcomes:
        return f"the runner of {gate.name} recorded its tests on the base, and records none now"
    if base.ran is None:
        return ""
    if now.ran is None:
        return f"{gate.name} ran {base.ran} tests on the base, and does not tell how many now"
    if now.ran < base.ran:
        return f"{gate.name} ran {base.ran} tests on the base, and {now.ran} now"
    return ""


def _without_red(base: TestRun, change: TestRun) -> TestRun:
    """Return the run of a base without the tests that still fail on the change."""
    if base.outcomes is None or change.outcomes is None:
        return base
    red = change.outcomes.tests
    tests = {test: end for test, end in base.outcomes.tests.items() if red.get(test) != "failed"}
    return replace(base, outcomes=replace(base.outcomes, tests=tests))


def _is_cut(base: TestRun, now: TestRun) -> bool:
    return bool(
        base.outcomes and base.outcomes.has_ended and now.outcomes and not now.outcomes.has_ended
    )
