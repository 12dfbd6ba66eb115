"""Pool workers of the test's own, one by one, on the Valkey of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PoolWorker:
    """A running worker and its log."""

    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def pool_worker(
    home: Path, valkey_url: str, *queues: str, name: str = "", slots: int = 1, **settings: str
) -> Iterator[PoolWorker]:
    """Run a worker on threads. In the end it is killed, whatever it holds."""
    name = name or queues[0]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ORCHESTRATOR_HOME": str(home),
        "VALKEY_URL": valkey_url,
        "ORCHESTRATOR_AGENT": "scripted",
        **settings,
    }
    argv = (
        *(sys.executable, "-P", "-m", "workers", "worker", "-Q", ",".join(queues)),
        *("-c", str(slots), "-P", "threads", "-n", f"{name}@%h"),
    )
    log = home / f"{name}.log"
    with log.open("w") as said:
        worker = subprocess.Popen(argv, env=environment, stdout=said, stderr=said)
    try:
        yield PoolWorker(worker, log)
    finally:
        worker.kill()
        worker.wait()
