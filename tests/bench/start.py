"""From a spawn to the program in Docker, and the start of an urgent agent before 10,000 others."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.settings import load_settings
from tests.bench.kill import ask
from tests.bench.overhead import FILES, large_project, overhead_ms
from tests.bench.peers.load import message, send_all
from tests.bench.results import Figure, figure, ratio, save, sizes
from tests.engine import has_image
from tests.integration.conftest import System, make_remote, running
from tests.processes import eventually

_HANGS = '{"steps": [{"hang": true}]}'
_CONNECTIONS = 32
_START_WITHIN_S = 120.0


def spawn_body(remote: Path, priority: int) -> bytes:
    """Return the request for an agent that never ends by itself."""
    context = {"repository": str(remote), "branch": "main", "workItems": [_HANGS]}
    body = {"taskId": "bench", "agentType": "tester", "priority": priority, "context": context}
    return json.dumps(body).encode()


def state(system: System, agent_id: str) -> dict[str, Any]:
    """Return the state of an agent."""
    with urllib.request.urlopen(f"{system.api}/agents/{agent_id}/status") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def spawn(system: System, remote: Path) -> str:
    """Spawn an agent of the highest priority; returns its id."""
    return str(ask(system, "/agents/spawn", json.loads(spawn_body(remote, 10)))["agentId"])


def await_start(system: System, agent_id: str) -> None:
    """Wait until an agent runs."""
    eventually(lambda: state(system, agent_id)["status"] == "running", within_s=_START_WITHIN_S)


def next_start_ms(system: System, remote: Path, holder: str) -> tuple[str, float]:
    """Kill the holder of the one slot; return the next one, and how long after that it started."""
    urgent = spawn(system, remote)
    ask(system, f"/agents/{holder}/kill", {})
    await_start(system, urgent)
    ended, began = state(system, holder)["completedAt"], state(system, urgent)["startedAt"]
    waited = datetime.fromisoformat(began) - datetime.fromisoformat(ended)
    return urgent, waited.total_seconds() * 1000


def beside_waiting(home: Path, remote: Path, waiting: int, rounds: int) -> list[list[float]]:
    """Measure without other agents, then before a number of less urgent ones that wait."""
    settings = {
        "ORCHESTRATOR_AGENT": "scripted",
        "MAX_CONCURRENT_AGENTS": "1",
        "ORCHESTRATOR_SPAWN_RATE": "0",
        "BUDGET_DAILY_TOKENS": str(10**12),
    }
    with running(home, **settings) as system:
        holder = spawn(system, remote)
        await_start(system, holder)
        # The first start fills the mirror; the second takes the first spare workspace.
        holder, _ = next_start_ms(system, remote, holder)
        found: list[list[float]] = []
        for _ in range(2):
            taken = []
            for _ in range(rounds):
                holder, ms = next_start_ms(system, remote, holder)
                taken.append(ms)
            found.append(taken)
            if len(found) == 1:
                port = int(system.env["ORCHESTRATOR_PORT"])
                others = [message("POST", "/agents/spawn", spawn_body(remote, 1))] * waiting
                accepted = send_all(port, others, connections=_CONNECTIONS).statuses
                if accepted != {201: waiting}:
                    msg = f"not all were accepted: {accepted}"
                    raise SystemExit(msg)
        return found


def in_docker(home: Path, remote: Path, rounds: int) -> tuple[Figure, ...]:
    """Measure the start in a container, if this machine has an engine and the image."""
    if not has_image(load_settings({}).sandbox_image):
        return ()
    with running(home, ORCHESTRATOR_AGENT="scripted", SANDBOX_ENABLED="true") as system:
        overhead_ms(system, remote)
        taken = [overhead_ms(system, remote) for _ in range(rounds)]
    return (figure("spawn to program in Docker, warm mirror", "ms", *taken),)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure in Docker, and before many waiting agents."""
    given = sizes(__doc__, argv, rounds=5, waiting=10_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        remote = make_remote(folder, large_project())
        docker = in_docker(folder / "docker", remote, given.rounds)
        alone, beside = beside_waiting(folder / "home", remote, given.waiting, given.rounds)
    notes = [
        f"The repository has {FILES} files. {given.waiting} agents of the lowest priority waited.",
        "With one slot, the start is measured from the end of the agent that held it.",
    ]
    if not docker:
        notes.append("The start in Docker was not measured: there is no engine or no image.")
    save(
        "start",
        [
            *docker,
            figure("slot to start, no other agent waits", "ms", *alone),
            figure("slot to start, many wait", "ms", *beside),
        ],
        [ratio("slot to start, many wait / none", beside, alone)],
        notes=notes,
    )


if __name__ == "__main__":
    main()
