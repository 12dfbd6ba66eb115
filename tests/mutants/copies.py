"""Copies of the sources, in which one mutant after the other is tested."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.targets import Target, target_of

ROOT = Path(__file__).parents[2]
_COPIED = (
    *("orchestrator", "tests", "workers", "deploy", "docs", "pyproject.toml", "celeryconfig.py"),
    *("README.md", "Makefile", "CHANGELOG.md"),
)
#: The limit of a run of tests in a process of its own.
_ALONE_S = 900.0
_PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no")


@dataclass(frozen=True)
class Copy:
    """A copy of the sources, with a process that has collected the tests of a target."""

    root: Path
    #: Whether the slow tests are left out.
    is_quick: bool = False
    _running: dict[tuple[str, ...], subprocess.Popen[str]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, *, is_quick: bool) -> Copy:
        """Copy what tests read."""
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, folder / name, ignore=ignored, symlinks=True)
            elif source.exists():
                shutil.copy2(source, folder / name)
        return cls(folder, is_quick)

    def end_of(self, mutant: Mutant) -> tuple[str, str]:
        """Return how the tests ended with this fault, and the test that noticed.

        An end is `noticed`, `survived`, `endless`, or `broken`: the tests themselves cannot run.
        """
        target = target_of(mutant.path)
        tests = target.quick + (() if self.is_quick else target.slow)
        process = self._running.get(tests) or self._started(target, tests)
        file = self.root / mutant.path
        source = file.read_text(encoding="utf-8")
        file.write_text(mutant.applied(source), encoding="utf-8")
        try:
            last = mutant.line + mutant.before.count("\n")
            line = f"{mutant.path} {mutant.line} {last}"
            end, _, by = _asked(process, line).partition(" ")
            return (self._tested(tests), "") if end == "unloaded" else (end, by)
        finally:
            file.write_text(source, encoding="utf-8")

    def close(self) -> None:
        """End the processes."""
        for process in self._running.values():
            process.communicate()
        self._running.clear()

    def _started(self, target: Target, tests: tuple[str, ...]) -> subprocess.Popen[str]:
        """Start the process of a target, and check that its tests pass without a fault."""
        self.close()
        reach = [
            f"--reach={file.relative_to(self.root)}"
            for at in (target.sources if target.is_in_process else ())
            for file in self.root.glob(at)
        ]
        process = subprocess.Popen(
            (sys.executable, "-m", "tests.mutants.forked", self._temporary, *reach, *tests),
            cwd=self.root,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._running[tests] = process
        if (end := _asked(process, "")) != "survived":
            self.close()
            msg = f"The tests of `{target.name}` fail without a mutant: {end}"
            raise ValueError(msg)
        return process

    def _tested(self, tests: Sequence[str]) -> str:
        """Run tests in a process of their own; return how they ended."""
        argv = (sys.executable, "-m", "pytest", *_PYTEST, self._temporary, *tests)
        with subprocess.Popen(
            argv,
            cwd=self.root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return "noticed" if process.wait(_ALONE_S) else "survived"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return "endless"

    @property
    def _temporary(self) -> str:
        # Beside the copy: runners of tests read the configuration of the folders above.
        return f"--basetemp={self.root}.tmp"

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}


def _asked(process: subprocess.Popen[str], line: str) -> str:
    """Return what the process answers to a line."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().strip() or "broken"
