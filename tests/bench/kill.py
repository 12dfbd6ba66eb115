"""kill-all of 200 live agents: request to last death, and the memory that they took before."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from orchestrator.models import Status
from orchestrator.store import agents
from orchestrator.store.client import Store
from tests.bench.results import figure, save, sizes
from tests.bench.system_processes import spawn_worker
from tests.integration.conftest import System, make_remote, running
from tests.processes import Observer, eventually, marked_all

START_WITHIN_S = 300.0


def ask(system: System, path: str, body: object = None) -> dict[str, object]:
    """Ask the API: with a body it is a POST."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{system.api}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, object] = json.load(response)
    return answer


def spawn(system: System, remote: Path) -> str:
    """Spawn an agent that never ends by itself."""
    items = ['{"steps": [{"hang": true}]}']
    context = {"repository": str(remote), "branch": "main", "workItems": items}
    body = {"taskId": "bench", "agentType": "tester", "context": context}
    return str(ask(system, "/agents/spawn", body)["agentId"])


def await_live(ids: set[str]) -> Observer:
    """Wait until each agent's program runs beside its supervisor; returns who observes them."""
    observer = Observer()

    def all_live() -> bool:
        found = {agent_id: pids for agent_id, pids in marked_all().items() if agent_id in ids}
        if any(len(found.get(agent_id, ())) < 2 for agent_id in ids):
            time.sleep(0.5)
            return False
        observer.record(*(pid for pids in found.values() for pid in pids))
        return True

    eventually(all_live, within_s=START_WITHIN_S)
    return observer


def first_kill_ms(system: System, remote: Path) -> float:
    """Return how long after its start `orch kill-all` has killed an agent."""
    agent_id = spawn(system, remote)
    await_live({agent_id})
    with closing(Store(system.valkey)) as store, ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        command = pool.submit(system.orch, "kill-all", "--yes")
        while store.run(agents.read(agent_id)).status is not Status.KILLED:
            time.sleep(0.001)
        taken_ms = (time.monotonic() - began) * 1000
        command.result()
    return taken_ms


def main(argv: Sequence[str] | None = None) -> None:
    """Measure how long it took, and whether the receipts are complete."""
    given = sizes(__doc__, argv, agents=200, rounds=5)
    count = given.agents
    with tempfile.TemporaryDirectory() as folder:
        remote = make_remote(Path(folder), {"orchestrator.toml": "[gates]\ntests = 'true'\n"})
        env = {"ORCHESTRATOR_AGENT": "scripted", "MAX_CONCURRENT_AGENTS": str(count)}
        with running(Path(folder) / "home", **env) as system, ThreadPoolExecutor(1) as pool:
            first_ms = [first_kill_ms(system, remote) for _ in range(given.rounds)]
            worker = spawn_worker(system)
            before = worker.memory_full_info().uss
            ids = {spawn(system, remote) for _ in range(count)}
            observer = await_live(ids)
            processes = len(observer.alive())
            used_mb = (worker.memory_full_info().uss - before) / count / 1e6
            began = time.monotonic()
            answer = pool.submit(ask, system, "/agents/kill-all", {})
            while observer.alive():
                time.sleep(0.002)
            seen_ms = (time.monotonic() - began) * 1000
            report = answer.result()
            answered_ms = (time.monotonic() - began) * 1000
            receipts = [ask(system, f"/agents/{agent_id}/receipt") for agent_id in ids]
    complete = [one for one in receipts if one["confirmed"] and not one["survivors"]]
    last_ms = max(int(str(one.get("durationMs", 0))) for one in receipts)
    save(
        "kill",
        [
            figure("kill-all to last death, seen from outside", "ms", seen_ms),
            figure("kill-all to last death, by the receipts", "ms", last_ms),
            figure("kill-all answered", "ms", answered_ms),
            figure("orch kill-all to first state killed", "ms", *first_ms),
            figure("memory of the spawn worker for a live agent", "MB", used_mb),
        ],
        notes=[
            f"{count} live agents with {processes} processes: {report['message']}.",
            f"{len(complete)} of {count} receipts are complete.",
        ],
    )


if __name__ == "__main__":
    main()
