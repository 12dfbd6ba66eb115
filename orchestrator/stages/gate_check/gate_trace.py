"""The trace of one gate's run: which changed files of its checkout its programs opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.gates.gate_files import KIND, gate_files, is_source
from orchestrator.gates.plan import Plan
from orchestrator.gates.tampering import allowed
from orchestrator.host.file_watch import FileWatch
from orchestrator.interfaces.gate import FileChange
from orchestrator.interfaces.run import Completed
from orchestrator.models import Finding, NotJudged

#: The first words of a gate's command.
SHELL = ("/bin/sh", "-c")
#: Opens the probe, then runs the command in the same process.
_PROBED = ': <"$1"; exec /bin/sh -c "$2"'
#: A file beside the checkout. Each command opens it first, so a trace that has not seen it is none.
_PROBE = "trace-probe"
_MOST_FOLDERS = 4
_NOT_TRACED = "the files that it read were not traced"

Start = Callable[[Sequence[str], Mapping[str, str], bytes, float], Completed]


@dataclass(frozen=True)
class Reads:
    """What a run opened of the changed files."""

    paths: frozenset[str] = frozenset()
    #: The changed files that stand in a folder of sources.
    data: frozenset[str] = frozenset()
    #: Why the run was not traced, or not wholly; empty if it was.
    gap: str = ""


@dataclass
class GateTrace:
    """Runs the programs of a gate, and knows which of the changed files they opened."""

    start: Start
    #: None without a trace.
    watch: FileWatch | None = None
    probe: Path = Path()
    #: The changed files that stand in a folder of sources.
    data: frozenset[str] = frozenset()
    #: Why there is no trace.
    gap: str = ""
    _has_run: bool = False

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], stdin: bytes, timeout_s: float
    ) -> Completed:
        """Run a program as `GateInput.run` does."""
        if tuple(argv[:-1]) != SHELL:
            return self.start(argv, env, stdin, timeout_s)
        self._has_run = True
        if self.watch is None:
            return self.start(argv, env, stdin, timeout_s)
        probed = (*SHELL, _PROBED, "sh", str(self.probe), argv[-1])
        return self.start(probed, env, stdin, timeout_s)

    def reads(self) -> Reads:
        """Return what the programs opened."""
        if self.watch is None or not self._has_run:
            return Reads(gap=self.gap if self._has_run else "")
        opened = self.watch.opened()
        probe = os.path.relpath(self.probe, self.watch.root)
        gap = self.watch.gap
        if probe not in opened:
            gap = gap or "none of its programs was seen: they ran on another machine"
        return Reads(opened - {probe}, self.data, gap)


@contextmanager
def traced(tracing: Tracing | None, checkout: Path, start: Start) -> Iterator[GateTrace]:
    """Trace the programs of `start` in a fresh checkout."""
    if tracing is None or tracing.is_in_place:
        # Other programs than the gates open files of a checkout in which a person works.
        yield GateTrace(start, gap="gates run in place" if tracing else "")
        return
    paths = [change.path for change in tracing.changes if change.after is not None]
    data = frozenset(_near_sources(checkout, paths))
    # It is beside the checkout, where the sandbox of the gate shows it.
    probe = checkout.parent / _PROBE
    probe.touch()
    with FileWatch.start(checkout, [*paths, os.path.relpath(probe, checkout)]) as watch:
        yield GateTrace(start, watch, probe, data)


@dataclass(frozen=True)
class Tracing:
    """What the traces of one change are compared with."""

    changes: Sequence[FileChange]
    plan: Plan
    #: Patterns of paths whose findings do not block.
    may_edit: Sequence[str] = ()
    is_in_place: bool = False

    def findings(
        self, reads: Iterable[tuple[str, Reads]], known: Sequence[Finding] = ()
    ) -> tuple[Finding, ...]:
        """Return the findings of what gates read; `known` has those of other stages."""
        reported = {finding.path for finding in known if finding.kind == KIND}
        by_gate: dict[str, set[str]] = {}
        data: set[str] = set()
        for gate, read in reads:
            by_gate.setdefault(gate, set()).update(read.paths)
            data |= read.data
        changes = [change for change in self.changes if change.path not in reported]
        commands = (*self.plan.commands, *(gate.script for gate in self.plan.gates))
        return gate_files(changes, by_gate, commands, self.plan.files, data)

    def edits(self, gate: str, reads: Reads) -> tuple[str, ...]:
        """Return the gate's files of one run that the request does not allow, with their kind."""
        return tuple(
            f"{finding.path}: {finding.kind}"
            for finding in self.findings([(gate, reads)])
            if allowed([finding], self.may_edit)[1]
        )

    def not_traced(self, reads: Iterable[tuple[str, Reads]]) -> tuple[NotJudged, ...]:
        """Return an entry for each gate whose reading is not known."""
        gaps = {gate: read.gap for gate, read in reads if read.gap}
        return tuple(
            NotJudged(path="", gate=gate, reason=f"{_NOT_TRACED}: {gap}")
            for gate, gap in sorted(gaps.items())
        )


def _near_sources(checkout: Path, paths: Iterable[str]) -> Iterator[str]:
    """Yield the files with sources in their folder, or in one of the folders above it."""

    @cache
    def has_sources(folder: Path) -> bool:
        try:
            return any(is_source(entry.name) for entry in (checkout / folder).iterdir())
        except OSError:
            # A part of the path is a link that leads nowhere.
            return False

    for path in paths:
        if any(map(has_sources, list(Path(path).parents)[:-1][:_MOST_FOLDERS])):
            yield path
