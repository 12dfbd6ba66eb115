"""The processes of a running system: which there are, their memory and their processor time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from tests.integration.conftest import System


def processes(system: System) -> Iterator[psutil.Process]:
    """Yield every process that was started with the home of this system."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("ORCHESTRATOR_HOME") == str(system.home):
                yield process


def processor_time_s(system: System) -> float:
    """Return the processor time of all processes, and of all their children that have ended."""
    total = 0.0
    for process in processes(system):
        with suppress(psutil.Error):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def memory_mib(system: System) -> tuple[float, int]:
    """Return the proportional set size of all processes, and their number."""
    sizes = []
    for process in processes(system):
        with suppress(OSError):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            sizes += [int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")]
    return sum(sizes), len(sizes)


def spawn_worker(system: System) -> psutil.Process:
    """Return the pool worker of the queue `spawn`.

    Raises:
        LookupError: it does not run.
    """
    for process in processes(system):
        with suppress(psutil.Error):
            if "workers" in (argv := process.cmdline()) and "spawn" in argv:
                return process
    msg = "the worker of the queue `spawn` does not run"
    raise LookupError(msg)
