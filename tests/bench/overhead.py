"""The orchestrator's own time: from a spawn accepted to the agent's process started."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import yaml

from tests.bench.results import figure, save, sizes
from tests.integration.conftest import SAMPLE, System, make_remote, running

FILES = 5_000


def large_project(seed: int = 1) -> dict[str, str]:
    """Make a project of 5,000 files of a few kilobytes each."""
    chance = random.Random(seed)
    files = {
        f"pkg{number // 50:03}/m{number:04}.py": "".join(
            f"def f{line}():\n    return {chance.random()}\n" for line in range(60)
        )
        for number in range(FILES - len(SAMPLE))
    }
    return {**SAMPLE, **files}


def overhead_ms(system: System, remote: Path) -> float:
    """Spawn one agent, wait for its end, and return how long its start took."""
    steps = [{"write": {"path": "calc.py", "content": SAMPLE["calc.py"] + "\n"}}, {"say": "Done."}]
    agent_id = system.spawn(remote, yaml.safe_dump({"steps": steps}))
    outcome = system.wait(agent_id)
    if outcome["status"] != "completed":
        raise SystemExit(outcome["error"])
    state = json.loads(system.orch("status", agent_id, "--json").stdout)
    spawned, started = (datetime.fromisoformat(state[name]) for name in ("spawnedAt", "startedAt"))
    return (started - spawned).total_seconds() * 1000


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the first start (cold mirror) and those after it (warm)."""
    given = sizes(__doc__, argv, rounds=20)
    with tempfile.TemporaryDirectory() as folder:
        remote = make_remote(Path(folder), large_project())
        with running(Path(folder) / "home", ORCHESTRATOR_AGENT="scripted") as system:
            cold = overhead_ms(system, remote)
            warm = [overhead_ms(system, remote) for _ in range(given.rounds)]
    save(
        "overhead",
        [
            figure("spawn to program, cold mirror", "ms", cold),
            figure("spawn to program, warm mirror", "ms", *warm),
        ],
        notes=[f"The repository has {FILES} files; the sandbox is the default one for processes."],
    )


if __name__ == "__main__":
    main()
