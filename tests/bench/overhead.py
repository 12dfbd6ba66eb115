"""The orchestrator's own time: from a spawn accepted to the agent's process started."""

from __future__ import annotations

import json
import random
import statistics
import tempfile
from datetime import datetime
from pathlib import Path

import yaml

from tests.integration.conftest import SAMPLE, System, make_remote, running

FILES = 5_000
ROUNDS = 20


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


def main() -> None:
    """Print the first start (cold mirror) and the median of those after it (warm)."""
    with tempfile.TemporaryDirectory() as folder:
        remote = make_remote(Path(folder), large_project())
        with running(Path(folder) / "home", ORCHESTRATOR_AGENT="scripted") as system:
            cold = overhead_ms(system, remote)
            warm = sorted(overhead_ms(system, remote) for _ in range(ROUNDS))
    print(f"repository of {FILES} files; spawn accepted -> agent process started")
    print(f"  cold mirror: {cold:6.0f} ms")
    print(f"  warm mirror: {statistics.median(warm):6.0f} ms median of {ROUNDS}", end="")
    print(f" ({warm[0]:.0f} to {warm[-1]:.0f}); aim: under 150 ms")


if __name__ == "__main__":
    main()
