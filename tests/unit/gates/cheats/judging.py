"""Judges one change of a small repository with the real gates, and shares the runs of its base."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.gates.check_files import is_made
from orchestrator.gates.plan import Plan, make_plan
from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import AgentType, GateProfile, GateReport
from orchestrator.settings import load_settings
from orchestrator.stages.gate_check.gate_runner import BaseTrees, GateRun, GateRunner
from orchestrator.wiring import worker as wiring_worker
from tests.gate_tools import tools_path

Files = Mapping[str, str | bytes]

PROFILES = (GateProfile.STANDARD, GateProfile.STRICT)
#: Whether each cheat is run by each profile, which takes longer than CI has.
RUNS_ALL = os.environ.get("CHEATS") == "all"


@dataclass(frozen=True)
class Repository:
    """A base commit; its command of the gate `tests` is detected, or configured in it."""

    name: str
    files: Files


def profiles_of(case: Case, cases: Sequence[Case]) -> tuple[GateProfile, ...]:
    """Return the profiles that judge a case; without `CHEATS=all`, both only for the first."""
    return PROFILES if RUNS_ALL or case == cases[0] else (GateProfile.STRICT,)


@dataclass(frozen=True)
class Case:
    """A change of a repository; None removes a file."""

    name: str
    base: Repository
    edits: Mapping[str, str | bytes | None]

    @property
    def id(self) -> str:
        return f"{self.base.name}: {self.name}"

    @property
    def files(self) -> dict[str, str | bytes]:
        """The files of the change."""
        files: dict[str, str | bytes] = dict(self.base.files)
        for path, content in self.edits.items():
            files.pop(path, None)
            if content is not None:
                files[path] = content
        return files

    def changes(self) -> tuple[FileChange, ...]:
        before, after = self.base.files, self.files
        return tuple(
            FileChange(path, _bytes(before.get(path)), _bytes(after.get(path)))
            for path in sorted({*before, *after})
            if before.get(path) != after.get(path)
        )


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content


@dataclass
class Judge:
    """One gate of each repository, under any profile."""

    folder: Path
    runner: GateRunner
    gate: str = "tests"
    _plans: dict[str, Plan] = field(default_factory=dict)
    _made: int = 0

    @classmethod
    def build(cls, folder: Path, gate: str = "tests") -> Judge:
        host = load_settings().host_env
        settings = load_settings({**host, "PATH": tools_path(), "ORCHESTRATOR_HOME": str(folder)})
        settings = settings.model_copy(update={"process_level": "shim"})
        return cls(folder, wiring_worker.gate_runner(settings, with_own_tools=True), gate)

    def plan(self, base: Repository, profile: GateProfile) -> Plan:
        if base.name not in self._plans:
            self._plans[base.name] = make_plan(
                GateProfile.CUSTOM,
                lambda path: _bytes(base.files.get(path)),
                wiring_worker.detectors(self.runner.settings),
                paths=frozenset(base.files),
                gates=[self.gate],
                timeout_s=300,
            )
        return replace(self._plans[base.name], profile=profile)

    def by_text(self, case: Case) -> set[str]:
        """Return the kinds of findings that the text of a change draws; nothing runs."""
        plan = self.plan(case.base, GateProfile.STANDARD)
        found = find_tampering(case.changes(), plan.commands, plan.files, plan.sources)
        return {finding.kind for finding in found}

    def report(
        self, case: Case, profile: GateProfile, may_edit: tuple[str, ...] = ()
    ) -> GateReport:
        """Run the gate on the change, and the base's tests as the profile has it."""
        changed = case.files
        kept = {
            path: content
            for path, content in changed.items()
            if not is_made(path) or path in case.base.files
        }

        def mixed(place: str, is_restored: Callable[[str], bool]) -> object:
            chosen = {path for path in {*changed, *case.base.files} if is_restored(path)}
            files = {path: text for path, text in changed.items() if path not in chosen}
            files |= {path: text for path, text in case.base.files.items() if path in chosen}
            return self._laid_out(place, files)

        run = GateRun(
            agent_id="a1",
            attempt=1,
            agent_type=AgentType.WORKER,
            work_items=(),
            tree="0" * 40,
            contents=case.changes,
            diff=lambda: "",
            checkout=lambda place: self._laid_out(place, kept),
            trees=BaseTrees(
                base=case.base.name,
                of_base=lambda place: self._laid_out(place, case.base.files),
                mixed=mixed,
            ),
            may_edit=may_edit,
        )
        (report,) = self.runner.run(self.plan(case.base, profile), run)
        return report

    @contextmanager
    def _laid_out(self, place: str, files: Files) -> Iterator[Path]:
        self._made += 1
        root = self.folder / f"{place}.{self._made}"
        for path, content in files.items():
            file = root / "tree" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_bytes(content) or b"")
        try:
            yield root / "tree"
        finally:
            shutil.rmtree(root)
