"""Puts one fault at a time into a copy of the sources, and prints those that no test notices.

`python -m tests.mutants [--only NAME] [--source PATTERN] [--jobs N] [--most N] [--list]` exits 0
only if each survivor is explained in `explained.toml`. A mutant that exceeds the time limit counts
as noticed: it does not end.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants import lua, python
from tests.mutants.mutant import Mutant
from tests.mutants.targets import TARGETS, Target, target_of

ROOT = Path(__file__).parents[2]
_COPIED = (
    *("orchestrator", "tests", "workers", "deploy", "docs", "pyproject.toml", "celeryconfig.py"),
    *("README.md", "Makefile", "CHANGELOG.md"),
)
#: The limits of one run of tests; an ordinary run takes a quarter of it on a busy machine.
_QUICK_S, _SLOW_S = 120.0, 600.0
_PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no")


@dataclass(frozen=True)
class Copy:
    """A copy of the sources, in which one mutant after the other is tested."""

    root: Path
    #: Whether the slow tests are left out.
    is_quick: bool = False

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

    def parts_of(self, target: Target) -> list[tuple[tuple[str, ...], float]]:
        """Return the tests of a target, with the time limit of each part."""
        parts = [(target.quick, _QUICK_S), (() if self.is_quick else target.slow, _SLOW_S)]
        return [part for part in parts if part[0]]

    def end_of(self, mutant: Mutant) -> str:
        """Return how the tests ended with this fault: `noticed`, `endless` or `survived`."""
        file = self.root / mutant.path
        source = file.read_text(encoding="utf-8")
        file.write_text(mutant.applied(source), encoding="utf-8")
        try:
            target = target_of(mutant.path)
            for tests, limit_s in self.parts_of(target):
                if (end := self.tested(tests, limit_s)) != "survived":
                    return end
        finally:
            file.write_text(source, encoding="utf-8")
        return "survived"

    def tested(self, tests: Sequence[str], limit_s: float) -> str:
        """Run tests here; return how they ended."""
        env = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        argv = (sys.executable, "-m", "pytest", *_PYTEST, f"--basetemp={self.root}/.tmp", *tests)
        with subprocess.Popen(
            argv,
            cwd=self.root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return "noticed" if process.wait(limit_s) else "survived"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return "endless"


def all_mutants(only: str, parts: Sequence[str]) -> Iterator[Mutant]:
    """Yield the mutants of the chosen targets."""
    for part in parts or [""]:
        for target in TARGETS:
            if only in ("", target.name):
                for file in sorted({file for at in target.sources for file in ROOT.glob(at)}):
                    path = file.relative_to(ROOT).as_posix()
                    if part in path and target_of(path) is target:
                        make = lua if file.suffix == ".lua" else python
                        yield from make.mutants_of(path, file.read_text(encoding="utf-8"))


def explained() -> dict[str, str]:
    """Return the reason why a mutant may survive, by its key."""
    text = Path(__file__).with_name("explained.toml").read_text(encoding="utf-8")
    return {entry["key"]: entry["reason"] for entry in tomllib.loads(text).get("mutant", [])}


def _checked(copies: queue.Queue[Copy], targets: Sequence[Target]) -> None:
    """Check that the tests pass without a fault."""
    copy = copies.get()
    for target in targets:
        for tests, limit_s in copy.parts_of(target):
            if copy.tested(tests, limit_s) != "survived":
                sys.exit(f"The tests of `{target.name}` fail without a mutant: {' '.join(tests)}")
    copies.put(copy)


def main() -> None:
    """Test the mutants and print the survivors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", choices=["", *(each.name for each in TARGETS)])
    parser.add_argument("--source", nargs="*", help="parts of the paths of sources, in this order")
    parser.add_argument("--kind", default="", help="only mutants of this kind")
    parser.add_argument("--key", nargs="*", help="only these mutants")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--most", type=int, default=0, help="a random choice of this many")
    parser.add_argument("--quick", action="store_true", help="leave out the slow tests")
    parser.add_argument("--verbose", action="store_true", help="print each mutant's end")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    options = parser.parse_args()
    mutants = [
        each
        for each in all_mutants(options.only, options.source or ())
        if options.kind in each.kind and (not options.key or each.key in options.key)
    ]
    if 0 < options.most < len(mutants):
        mutants = random.sample(mutants, options.most)
    if options.list:
        print(*mutants, sep="\n")
        return
    reasons, ends, began = explained(), Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants.") as folder:
        copies: queue.Queue[Copy] = queue.Queue()
        for number in range(options.jobs):
            copies.put(Copy.make(Path(folder, str(number)), is_quick=options.quick))
        _checked(copies, [each for each in TARGETS if any(each.has(m.path) for m in mutants)])

        def end_of(mutant: Mutant) -> None:
            copy = copies.get()
            try:
                end = copy.end_of(mutant)
            finally:
                copies.put(copy)
            if end == "survived" and mutant.key in reasons:
                end = "explained"
            ends[end] += 1
            if end in ("survived", "endless"):
                print(end, mutant, flush=True)
            elif options.verbose:
                print(end, mutant.key, flush=True)

        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(end_of, mutants))
    took_s = time.monotonic() - began
    print(f"{len(mutants)} mutants in {took_s:.0f} s: {dict(ends)}")
    sys.exit(1 if ends["survived"] else 0)


if __name__ == "__main__":
    main()
