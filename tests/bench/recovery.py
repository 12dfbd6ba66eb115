"""SIGKILL of the spawn worker: until the program of its agent runs again."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.bench.results import figure, save, sizes
from tests.bench.system_processes import spawn_worker
from tests.integration.conftest import System, make_remote, running
from tests.processes import eventually, marked

_WITHIN_S = 120.0


def state(system: System, agent_id: str) -> tuple[int, bool]:
    """Return the attempt of an agent, and whether its program runs."""
    with urllib.request.urlopen(f"{system.api}/agents/{agent_id}/status") as answer:
        found = json.load(answer)
    return found["attempt"], found["status"] == "running" and len(marked(agent_id)) > 1


def recover(system: System, remote: Path) -> float:
    """Return the seconds from the kill until a later attempt of the agent runs."""
    agent_id = system.spawn(remote, '{"steps": [{"hang": true}]}')
    eventually(lambda: state(system, agent_id)[1], within_s=_WITHIN_S)
    first, _ = state(system, agent_id)
    began = time.monotonic()
    os.kill(spawn_worker(system).pid, signal.SIGKILL)
    eventually(lambda: state(system, agent_id) > (first + 1, False), within_s=_WITHIN_S)
    taken_s = time.monotonic() - began
    system.orch("kill", agent_id)
    return taken_s


def main(argv: Sequence[str] | None = None) -> None:
    """Measure with the settings' defaults."""
    given = sizes(__doc__, argv, rounds=2)
    with tempfile.TemporaryDirectory() as name:
        remote = make_remote(Path(name), {"orchestrator.toml": "[gates]\ntests = 'true'\n"})
        with running(Path(name) / "home", ORCHESTRATOR_AGENT="scripted") as system:
            taken = [recover(system, remote) for _ in range(given.rounds)]
    save("recovery", [figure("kill of a worker to agent running again", "s", *taken)])


if __name__ == "__main__":
    main()
