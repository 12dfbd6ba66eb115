"""Fifty agents on one repository of 5,000 files, beside fifty plain clones of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.bench.overhead import FILES, large_project
from tests.bench.results import figure, ratio, save, sizes
from tests.integration.conftest import System, git, make_remote, running


def used_mib(folder: Path) -> float:
    """Return what is used of the disk a folder is on; nothing else writes there meanwhile."""
    return shutil.disk_usage(folder).used / 2**20


def spawn(system: System, remote: Path, number: int) -> str:
    """Spawn one agent over HTTP; returns its id."""
    step = {"write": {"path": f"new{number}.py", "content": f"N = {number}\n"}}
    script = yaml.safe_dump({"steps": [step, {"sleep": 2}]})
    context = {"repository": str(remote), "branch": "main", "workItems": [script]}
    body = {
        "taskId": f"t-{number}", "agentType": "worker", "gateProfile": "minimal",
        "context": context,
    }  # fmt: skip
    asked = urllib.request.Request(
        f"{system.api}/agents/spawn",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:
        return str(json.load(answer)["agentId"])


def fleet(remote: Path, home: Path, count: int) -> tuple[float, float]:
    """Run the agents at once; returns seconds until all are pushed, and the most disk in MiB."""
    with running(
        home,
        ORCHESTRATOR_AGENT="scripted",
        MAX_CONCURRENT_AGENTS=str(count),
        # Two cores that check fifty trees out at once may keep a heartbeat waiting.
        ORCHESTRATOR_LEASE="120s",
    ) as system:
        before = most = used_mib(home)
        began = time.monotonic()
        for number in range(count):
            spawn(system, remote, number)
        while True:
            most = max(most, used_mib(home))
            with urllib.request.urlopen(f"{system.api}/agents?limit=100") as answer:
                agents = json.load(answer)["agents"]
            if failed := [one["error"] for one in agents if one["status"] in ("failed", "killed")]:
                raise SystemExit(failed[0])
            if all(one["status"] == "completed" for one in agents):
                return time.monotonic() - began, most - before
            time.sleep(0.25)


def clones(remote: Path, folder: Path, count: int) -> tuple[float, float]:
    """Clone the repository as often, change a file and push; returns time (s) and disk (MiB)."""
    folder.mkdir()
    before = used_mib(folder)
    began = time.monotonic()
    for number in range(count):
        clone = folder / str(number)
        git("clone", "-q", "--no-local", str(remote), str(clone), cwd=folder)
        (clone / f"new{number}.py").write_text(f"N = {number}\n")
        git("checkout", "-q", "-b", f"plain/{number}", cwd=clone)
        git("add", "-A", cwd=clone)
        git("commit", "-q", "-m", "more", cwd=clone)
        git("push", "-q", "origin", f"plain/{number}", cwd=clone)
    return time.monotonic() - began, used_mib(folder) - before


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both, and check what the remote says of itself."""
    count = sizes(__doc__, argv, agents=50).agents
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        remote = make_remote(folder, large_project())
        fleet_s, fleet_mib = fleet(remote, folder / "home", count)
        clones_s, clones_mib = clones(remote, folder / "clones", count)
        refs = git("for-each-ref", "--format=%(refname)", "refs/heads/agent", cwd=remote).split()
        subprocess.run(["git", "fsck", "--strict"], cwd=remote, check=True, capture_output=True)
    save(
        "fleet",
        [
            figure("agents, gates and push", "s", fleet_s),
            figure("clones and pushes", "s", clones_s),
            figure("agents, most disk", "MiB", fleet_mib),
            figure("clones, disk", "MiB", clones_mib),
        ],
        [
            ratio("time, agents / clones", [fleet_s], [clones_s]),
            ratio("disk, agents / clones", [fleet_mib], [clones_mib]),
        ],
        notes=[f"{count} agents on {FILES} files: {len(refs)} branches on the remote, fsck clean."],
    )


if __name__ == "__main__":
    main()
