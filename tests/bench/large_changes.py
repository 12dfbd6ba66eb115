"""PING beside changes that are saved and read: `python -m tests.bench.large_changes`."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from orchestrator.store import changes
from orchestrator.store.client import Store
from orchestrator.store.operations import command, nothing
from tests.bench.results import Figure, durable_valkey, figure, save, sizes
from tests.conftest import free_port

CHANGES = 12
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


def measure(
    url: str, title: str, step: Callable[[Store, int], object]
) -> tuple[Figure, Figure, Figure]:
    """Run a step for every change at once; returns how long it took, and PING beside it."""

    def run(number: int) -> None:
        with closing(Store(url)) as store:
            step(store, number)

    with pinged(url) as taken, ThreadPoolExecutor(CHANGES) as pool:
        began = time.perf_counter()
        list(pool.map(run, range(CHANGES)))
        lasted_s = time.perf_counter() - began
    taken.sort()
    p99 = taken[min(int(len(taken) * 0.99), len(taken) - 1)]
    return (
        figure(title, "s", lasted_s),
        figure(f"PING beside it, {title}: p99", "ms", p99),
        figure(f"PING beside it, {title}: longest", "ms", taken[-1]),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure with each policy of Valkey's append-only file."""
    size_mib = sizes(__doc__, argv, mib=64).mib
    contents = [os.urandom(2**20) * size_mib for _ in range(CHANGES)]

    def save_change(store: Store, number: int) -> None:
        store.follow(changes.save_change(f"a{number}", 1, contents[number], for_s=3600))

    def read(store: Store, number: int) -> None:
        if store.follow(changes.get_change(f"a{number}", 1)) != contents[number]:
            raise AssertionError

    def drop(store: Store, number: int) -> None:
        store.follow(changes.drop_changes(f"a{number}", 1))

    figures: list[Figure] = []
    for policy in ("everysec", "always"):
        with (
            tempfile.TemporaryDirectory() as folder,
            durable_valkey(Path(folder), free_port(), policy=policy) as server,
        ):
            url = f"{server.connection_url}/0"
            figures += measure(url, f"nothing, {policy}", lambda *_: time.sleep(1))
            figures += measure(url, f"changes saved, {policy}", save_change)
            figures += measure(url, f"changes read, {policy}", read)
            figures += measure(url, f"changes removed, {policy}", drop)
    save("large_changes", figures, notes=[f"{CHANGES} changes of {size_mib} MiB at once."])


if __name__ == "__main__":
    if sys.argv[1:2] == [_PING]:
        ping(sys.argv[2])
    else:
        main()
