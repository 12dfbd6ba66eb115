"""An idle system: its memory, and the wall time of commands that ask it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.results import figure, save, sizes
from tests.bench.system_processes import memory_mib
from tests.integration.conftest import System, make_remote, running
from tests.processes import eventually, marked


def wall_ms(system: System, *arguments: str) -> float:
    """Return how long one command takes."""
    began = time.perf_counter()
    system.orch(*arguments)
    return (time.perf_counter() - began) * 1000


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the memory first, then each command in turn, round by round."""
    given = sizes(__doc__, argv, rounds=9, settle_seconds=10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        remote = make_remote(folder, {"orchestrator.toml": "[gates]\ntests = 'true'\n"})
        with running(folder / "home", ORCHESTRATOR_AGENT="scripted") as system:
            time.sleep(given.settle_seconds)
            memory, count = memory_mib(system)
            agent_id = system.spawn(remote, '{"steps": [{"hang": true}]}')
            eventually(lambda: len(marked(agent_id)) > 1, within_s=60)
            # To kill it again is answered as the first kill was.
            commands: dict[str, tuple[str, ...]] = {
                "--help": ("--help",),
                "status": ("status", agent_id),
                "ls": ("ls",),
                "budget": ("budget",),
                "kill": ("kill", agent_id),
            }
            times: dict[str, list[float]] = {command: [] for command in commands}
            for _ in range(given.rounds):
                for command, arguments in commands.items():
                    times[command].append(wall_ms(system, *arguments))
    save(
        "idle",
        [
            figure("proportional set size of all processes", "MiB", memory),
            *(figure(f"orch {command}", "ms", *taken) for command, taken in times.items()),
        ],
        notes=[f"{count} processes, without Flower."],
    )


if __name__ == "__main__":
    main()
