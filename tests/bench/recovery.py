"""SIGKILL of the spawn worker: until the program of its agent runs again."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.results import figure, save, sizes
from tests.bench.system_processes import spawn_worker
from tests.integration.conftest import System, make_remote, running
from tests.processes import Observer, eventually, marked

_WITHIN_S = 120.0


def recover(system: System, remote: Path) -> float:
    """Return the seconds from the kill until two processes carry the agent's mark again."""
    agent_id = system.spawn(remote, '{"steps": [{"hang": true}]}')
    eventually(lambda: len(marked(agent_id)) > 1, within_s=_WITHIN_S)
    first = Observer()
    first.record(*marked(agent_id))
    began = time.monotonic()
    os.kill(spawn_worker(system).pid, signal.SIGKILL)
    eventually(lambda: len(marked(agent_id) - first.alive()) > 1, within_s=_WITHIN_S)
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
