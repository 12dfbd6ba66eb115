"""Puts one fault at a time into a copy of the sources, and prints those that no test notices.

`python -m tests.mutants [--only NAME] [--source PATTERN] [--jobs N] [--most N] [--list]` exits 0
only if each survivor is explained in `explained.toml`. A mutant that exceeds the time limit counts
as noticed: it does not end.
"""

from __future__ import annotations

import argparse
import queue
import random
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants import lua, python
from tests.mutants.copies import ROOT, Copy
from tests.mutants.mutant import Mutant
from tests.mutants.targets import TARGETS, target_of


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

        def end_of(mutant: Mutant) -> None:
            copy = copies.get()
            try:
                end, by = copy.end_of(mutant)
            finally:
                copies.put(copy)
            if end == "survived" and mutant.key in reasons:
                end = "explained"
            ends[end] += 1
            if end in ("survived", "endless", "broken"):
                print(end, mutant, flush=True)
            elif options.verbose:
                print(end, mutant.key, by, flush=True)

        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(end_of, mutants))
        while not copies.empty():
            copies.get().close()
    took_s = time.monotonic() - began
    print(f"{len(mutants)} mutants in {took_s:.0f} s: {dict(ends)}")
    sys.exit(1 if ends["survived"] or ends["broken"] else 0)


if __name__ == "__main__":
    main()
