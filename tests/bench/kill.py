"""kill-all of 200 live agents: from the request to the last death, by receipts and from outside."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.integration.conftest import System, make_remote, running
from tests.processes import Observer, eventually, marked_all

AGENTS = 200
START_WITHIN_S = 600.0


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


def main() -> None:
    """Print how long it took, and whether the receipts are complete."""
    with tempfile.TemporaryDirectory() as folder:
        remote = make_remote(Path(folder), {"orchestrator.toml": "[gates]\ntests = 'true'\n"})
        env = {"ORCHESTRATOR_AGENT": "scripted", "MAX_CONCURRENT_AGENTS": str(AGENTS)}
        with running(Path(folder) / "home", **env) as system, ThreadPoolExecutor(1) as pool:
            ids = {spawn(system, remote) for _ in range(AGENTS)}
            observer = await_live(ids)
            processes = len(observer.alive())
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
    print(f"kill-all of {AGENTS} live agents, {processes} processes: {report['message']}")
    print(f"  receipts complete: {len(complete)} of {AGENTS}")
    print(f"  request to last death: {last_ms} ms by the receipts", end="")
    print(f", {seen_ms:.0f} ms from outside (aim: at most 1000); answered in {answered_ms:.0f} ms")


if __name__ == "__main__":
    main()
