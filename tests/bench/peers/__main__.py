"""Spawns and status reads of our API beside those of other services: `python -m tests.bench.peers`.

All services run at once, each on its own database of one Valkey that fsyncs every write. In each
round every service gets the same requests, one service after the other, so that a ratio compares
two measurements that were made within seconds.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.peers.fleet_tool import measure as measure_fleet_tool
from tests.bench.peers.load import Run, message, send_all
from tests.bench.peers.stacks import BUILD, CELERY, EXPRESS, FASTIFY, HERE, OURS, Stack, serving
from tests.bench.results import FOLDER, Figure, durable_valkey, figure, ratio, save, sizes
from tests.conftest import free_port

#: Connections → the share of a round's requests that are sent on them.
CONNECTIONS: Mapping[int, float] = {1: 0.25, 32: 1.0}
_CREATED, _OK = 201, 200
Samples = Mapping[str, Sequence[float]]


def spawn_request(number: int) -> bytes:
    """Return one spawn; each names another task, as clients do."""
    body = {
        "taskId": f"task-{number}",
        "agentType": "worker",
        "context": {
            "repository": "https://git.example.com/team/project.git",
            "branch": "main",
            "workItems": ["Add a function that adds two numbers, and a test for it."],
        },
    }
    return message("POST", "/agents/spawn", json.dumps(body).encode())


def spawn(stack: Stack, first: int, count: int, connections: int) -> Run:
    """Send spawns.

    Raises:
        AssertionError: one was not accepted, or not as many are registered as were accepted.
    """
    before = stack.registered()
    requests = [spawn_request(first + number) for number in range(count)]
    run = send_all(stack.port, requests, connections=connections)
    registered = stack.registered() - before
    if run.statuses != {_CREATED: count} or registered != count:
        msg = f"{stack.name}: {dict(run.statuses)} of {count}, {registered} registered"
        raise AssertionError(msg)
    return run


def read(stack: Stack, ids: Sequence[str], connections: int) -> Run:
    """Read the status of agents.

    Raises:
        AssertionError: one was not answered with 200.
    """
    requests = [message("GET", f"/agents/{agent_id}/status") for agent_id in ids]
    run = send_all(stack.port, requests, connections=connections)
    if run.statuses != {_OK: len(ids)}:
        msg = f"{stack.name}: {dict(run.statuses)} of {len(ids)}"
        raise AssertionError(msg)
    return run


def measure(stacks: Sequence[Stack], rounds: int, requests: int) -> dict[str, Samples]:
    """Return the samples of each quantity, by the name of the service."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sent = 0
    for turn in range(-1, rounds):
        # Another service begins each round; round -1 warms all of them up.
        order = [*stacks[turn % len(stacks) :], *stacks[: turn % len(stacks)]]
        for connections, share in CONNECTIONS.items():
            count = max(connections, int(requests * share))
            for stack in order:
                spawned = spawn(stack, sent, count, connections)
                sent += count
                ids = [str(json.loads(body)["agentId"]) for body in spawned.bodies]
                reads = read(stack, ids, connections)
                if turn < 0:
                    continue
                for what, run in (("spawn", spawned), ("status", reads)):
                    at = f"{what}, {connections} connection{'s' * (connections > 1)}"
                    found[f"{at}: rate"][stack.name].append(run.rate)
                    found[f"{at}: p50"][stack.name].append(run.percentile(0.5))
                    found[f"{at}: p99"][stack.name].append(run.percentile(0.99))
    return {quantity: dict(samples) for quantity, samples in found.items()}


def figures_of(measured: Mapping[str, Samples]) -> tuple[list[Figure], list[Figure]]:
    """Return each service's figures, and the ratios of ours to each other service."""
    figures, ratios = [], []
    for quantity, samples in measured.items():
        unit = "1/s" if quantity.endswith("rate") else "ms"
        for name, values in samples.items():
            figures.append(figure(f"{quantity}, {name}", unit, *values))
            if name != OURS:
                ratios.append(ratio(f"{quantity}, ours / {name}", samples[OURS], values))
    return figures, ratios


def versions() -> dict[str, str]:
    """Return the versions of the other services."""
    pinned: dict[str, str] = json.loads((HERE / "package.json").read_text())["dependencies"]
    lines = (HERE / "requirements.txt").read_text().splitlines()
    python = dict(line.split("==") for line in lines if not line.startswith("#"))
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True)
    return {**pinned, **python, "node": node.stdout.strip().removeprefix("v")}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write the results."""
    given = sizes(__doc__, argv, rounds=7, requests=1200, sessions=5)
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Not below /tmp: an fsync of a file system in memory costs nothing.
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        (folder / "valkey").mkdir()
        port = free_port()
        with (
            durable_valkey(folder / "valkey", port),
            serving(port, folder) as stacks,
        ):
            measured = measure(stacks, given.rounds, given.requests)
        figures, ratios = figures_of(measured)
        more, notes = measure_fleet_tool(folder, BUILD, given.sessions)
    notes = [
        f"Each service accepted and registered all requests: {', '.join((OURS, *PEERS))}.",
        *notes,
    ]
    save("peers", [*figures, *more], ratios, notes=notes, versions=versions())


PEERS = (FASTIFY, EXPRESS, CELERY)

if __name__ == "__main__":
    main()
