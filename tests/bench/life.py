"""The whole life of an agent that does next to nothing: processor time, and twenty at once."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.bench.overhead import FILES, large_project
from tests.bench.results import figure, save, sizes
from tests.bench.system_processes import processor_time_s
from tests.integration.conftest import SAMPLE, System, make_remote, running


def work(number: int) -> str:
    """Return the script of an agent that writes one small file."""
    write = {"path": f"new{number}.py", "content": f"N = {number}\n"}
    return yaml.safe_dump({"steps": [{"write": write}]})


def one_after_another(system: System, remote: Path, count: int, idle: float) -> list[float]:
    """Return the processor time (s) of each agent, less what an idle system takes."""
    used = []
    # The first fills the mirror.
    for number in range(count + 1):
        before, began = processor_time_s(system), time.monotonic()
        outcome = system.wait(system.spawn(remote, work(number)))
        if outcome["status"] != "completed":
            raise SystemExit(outcome["error"])
        # The cleanup follows the outcome.
        time.sleep(1)
        used.append(processor_time_s(system) - before - idle * (time.monotonic() - began))
    return used[1:]


def at_once(system: System, remote: Path, count: int) -> float:
    """Return the seconds from the first spawn until all agents have completed."""
    began = time.monotonic()
    ids = {system.spawn(remote, work(number + 1000)) for number in range(count)}
    while True:
        with urllib.request.urlopen(f"{system.api}/agents?limit=100") as answer:
            agents = [one for one in json.load(answer)["agents"] if one["agentId"] in ids]
        if failed := [one["error"] for one in agents if one["status"] in ("failed", "killed")]:
            raise SystemExit(failed[0])
        if len(agents) == count and all(one["status"] == "completed" for one in agents):
            return time.monotonic() - began
        time.sleep(0.1)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure on a tiny repository and on a large one."""
    given = sizes(__doc__, argv, rounds=5, agents=20, idle_seconds=10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny").mkdir()
        tiny, large = make_remote(folder / "tiny", SAMPLE), make_remote(folder, large_project())
        settings = {
            "ORCHESTRATOR_AGENT": "scripted",
            "MAX_CONCURRENT_AGENTS": str(given.agents),
            "ORCHESTRATOR_LEASE": "120s",
        }
        with running(folder / "home", **settings) as system:
            before = processor_time_s(system)
            time.sleep(given.idle_seconds)
            idle = (processor_time_s(system) - before) / given.idle_seconds
            on_tiny = one_after_another(system, tiny, given.rounds, idle)
            on_large = one_after_another(system, large, given.rounds, idle)
            together_s = at_once(system, large, given.agents)
    save(
        "life",
        [
            figure("processor time, tiny repository", "s", *on_tiny),
            figure("processor time, large repository", "s", *on_large),
            figure("20 at once, large repository", "s", together_s),
            figure("idle system, share of a core", "", idle),
        ],
        notes=[
            f"The large repository has {FILES} files. {given.agents} agents ran at once.",
            "The agent writes one file, and the gates of profile minimal run its tests.",
            "The processor time of an idle system is subtracted.",
        ],
    )


if __name__ == "__main__":
    main()
