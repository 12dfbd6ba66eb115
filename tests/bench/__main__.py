"""Runs all benchmarks, one after the other, each within its time: `python -m tests.bench`."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

#: Benchmark → its time limit (s); together less than the half hour that they may take.
LIMITS: Mapping[str, int] = {
    "idle": 90,
    "overhead": 120,
    "start": 120,
    "life": 180,
    "fleet": 240,
    "kill": 150,
    "recovery": 60,
    "growth": 150,
    "kill_registered": 120,
    "gates": 60,
    "sandboxes": 60,
    "large_changes": 90,
    "dashboard": 60,
}
#: A benchmark that is interrupted stops the system that it started.
_STOP_WITHIN_S = 60


def run(name: str) -> bool:
    """Run a benchmark; returns whether it wrote its results."""
    with subprocess.Popen([sys.executable, "-m", f"tests.bench.{name}"]) as process:
        try:
            return process.wait(LIMITS[name]) == 0
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return False


def main(argv: Sequence[str] | None = None) -> None:
    """Run those that are named, or all; a failure does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    # Not `choices`: with `*` it refuses an empty list.
    parser.add_argument("names", nargs="*", help=f"of {', '.join(LIMITS)}")
    names = parser.parse_args(argv).names or list(LIMITS)
    if unknown := [name for name in names if name not in LIMITS]:
        parser.error(f"there is no benchmark {unknown[0]}, only {', '.join(LIMITS)}")
    failed = [name for name in names if not run(name)]
    if failed:
        msg = f"these gave no results: {', '.join(failed)}"
        raise SystemExit(msg)


if __name__ == "__main__":
    main()
