"""Spawns scripted agents while workers and Valkey are killed by chance, and counts their ends.

`python -m tests.chaos --seconds 300 --agents 50 [--seed N]` exits 0 only if every agent
has ended, and ended right: completed, its branch pushed once, with what its last round made.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from orchestrator.messages import QUEUES
from tests.faults.conftest import Document
from tests.integration.conftest import System, git, make_remote, running
from tests.processes import marked_all

#: Each repository has a mirror of its own, and agents of one wait for one another at its lock.
REPOSITORIES = 5
SLOTS = 8
#: After the last kill every agent has this long to end: each of its losses doubled its delay.
DRAIN_S = 300.0
#: Agents come all through this part of the time, so that the last meet kills too.
SPAWNING = 0.8
#: A part is killed, and another one after a while between these.
PAUSE_S = (2.0, 8.0)
ROUNDS = 2
PROJECT = {
    "pyproject.toml": '[tool.orchestrator.gates]\ntests = "sh gate.sh"\n',
    # It passes on the base, which has no such file: a red base costs no rework round.
    "gate.sh": 'sleep 0.5; [ ! -e made.txt ] || [ "$(cat made.txt)" = right ]\n',
}


@dataclass(frozen=True)
class Chaos:
    """One system under fire."""

    system: System
    remotes: Sequence[Path]
    chance: random.Random

    def spawn(self, number: int) -> str:
        """Spawn an agent; asked again until it is answered, it is still one agent."""
        is_rejected_first = number % 3 == 0
        document = {
            "taskId": f"task-{number}",
            "agentType": "worker",
            "gateProfile": "minimal",
            "maxRetries": 100,
            "priority": self.chance.randint(1, 10),
            "context": {
                "repository": str(self.remotes[number % len(self.remotes)]),
                "branch": "main",
                "workItems": [json.dumps(self._script(is_rejected_first=is_rejected_first))],
            },
        }
        key = str(uuid.uuid4())
        while True:
            with suppress(OSError, urllib.error.URLError):
                return self._post(document, key)
            time.sleep(0.2)

    def kill_something(self) -> str:
        """Kill one part of the system; returns which."""
        victim = self.chance.choice([*QUEUES, *QUEUES[:2], "gates child", "valkey"])
        processes = self._processes(victim)
        if not processes:
            return f"{victim} (was down)"
        with suppress(psutil.NoSuchProcess):
            self.chance.choice(processes).kill()
        return victim

    def states(self, ids: Sequence[str]) -> list[Document]:
        """Return what Valkey tells of the agents, or nothing while it is away."""
        with suppress(redis.ConnectionError), redis.Redis.from_url(self.system.valkey) as client:
            found = client.mget([f"orchestrator:agent:{agent_id}" for agent_id in ids])
            return [json.loads(state) if state else {"status": "lost"} for state in found]
        return []

    def verdict(self, agent_id: str, state: Document) -> str:
        """Return `right`, or what is wrong with the end of an agent."""
        if state["status"] != "completed":
            return f"{state['status']} ({state.get('phase')}): {state.get('error', '')}"
        remote = Path(state["repository"])
        log = remote / f"logs/refs/heads/agent/{agent_id}"
        updates = log.read_text().splitlines() if log.exists() else []
        if len(updates) != 1:
            return f"pushed {len(updates)} times"
        if git("rev-parse", f"agent/{agent_id}", cwd=remote) != state["commit"]:
            return "the branch holds another commit"
        made = git("show", f"agent/{agent_id}:made.txt", cwd=remote)
        return "right" if made == "right" else f"pushed what its gates had rejected: {made}"

    def _script(self, *, is_rejected_first: bool) -> Document:
        def steps(content: str) -> list[Document]:
            pause = {"sleep": round(self.chance.uniform(0.2, 2.0), 2)}
            made = {"write": {"path": "made.txt", "content": content}}
            return [{"say": "I begin."}, pause, made, pause, {"say": "I am done."}]

        if not is_rejected_first:
            return {"steps": steps("right")}
        return {"rounds": [steps("wrong"), steps("right")]}

    def _post(self, document: Document, key: str) -> str:
        request = urllib.request.Request(
            f"{self.system.api}/agents/spawn",
            data=json.dumps(document).encode(),
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["agentId"])

    def _processes(self, victim: str) -> list[psutil.Process]:
        """Return the processes of this part of the system, as they are now."""
        name, _, is_child = victim.partition(" ")
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                environment = process.environ()
                if environment.get("ORCHESTRATOR_HOME") != str(self.system.home):
                    continue
                if environment.get("SUPERVISOR_PROCESS_NAME") != name:
                    continue
                parent = process.parent()
                above = parent.environ().get("SUPERVISOR_PROCESS_NAME") if parent else None
                if (above == name) is bool(is_child):
                    found.append(process)
        return found


def run(seconds: float, agents: int, seed: int) -> bool:
    """Run it, tell how it went, and return whether every agent came to its right end."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        remotes = [
            make_remote(Path(folder) / str(number), PROJECT) for number in range(REPOSITORIES)
        ]
        for remote in remotes:
            git("config", "core.logAllRefUpdates", "always", cwd=remote)
        with running(
            Path(folder) / "home",
            ORCHESTRATOR_AGENT="scripted",
            ORCHESTRATOR_LEASE="5s",
            ORCHESTRATOR_SUPERVISOR_DEADLINE="3s",
            ORCHESTRATOR_CHECKPOINT="1s",
            MAX_CONCURRENT_AGENTS=str(SLOTS),
        ) as system:
            return _rage(Chaos(system, remotes, random.Random(seed)), seconds, agents)


def _rage(chaos: Chaos, seconds: float, agents: int) -> bool:
    began = time.monotonic()
    ids: list[str] = []
    kills: Counter[str] = Counter()
    kill_at = PAUSE_S[0]
    while (now := time.monotonic() - began) < seconds:
        if len(ids) < agents and now >= len(ids) * seconds * SPAWNING / agents:
            ids.append(chaos.spawn(len(ids)))
        if now >= kill_at:
            kills[chaos.kill_something()] += 1
            kill_at = time.monotonic() - began + chaos.chance.uniform(*PAUSE_S)
        time.sleep(0.05)
    while len(ids) < agents:
        ids.append(chaos.spawn(len(ids)))
    states: list[Document] = []
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:
        states = chaos.states(ids)
        if states and all(state.get("phase") == "cleaned" for state in states):
            break
        time.sleep(0.5)
    drained_s = time.monotonic() - began - seconds
    verdicts = Counter(
        chaos.verdict(agent_id, state) for agent_id, state in zip(ids, states, strict=True)
    )
    final = sum(state["status"] in ("completed", "failed", "killed") for state in states)
    left = set(ids) & marked_all().keys()
    lost = [state.get("recoveries", 0) for state in states]
    print(f"kills: {sum(kills.values())} {dict(sorted(kills.items()))}")
    print(
        f"attempts lost: {sum(lost)}, most of one agent {max(lost)}; drained in {drained_s:.0f} s"
    )
    print(f"rounds: {dict(Counter(state.get('rounds', 0) for state in states))}")
    print(f"agents: {agents}, final states: {final}, right outcomes: {verdicts['right']}")
    print(f"processes left: {len(left)}")
    for agent_id, state in zip(ids, states, strict=True):
        verdict = chaos.verdict(agent_id, state)
        if verdict != "right" or state.get("phase") != "cleaned":
            print(f"  {agent_id}: {verdict} ({state.get('phase')})")
    return final == verdicts["right"] == agents and not left


def main() -> None:
    """Parse the arguments, run, and exit with the verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None, help="repeats the same choices")
    given = parser.parse_args()
    seed = random.randrange(2**32) if given.seed is None else given.seed
    print(f"seed: {seed}", flush=True)
    sys.exit(0 if run(given.seconds, given.agents, seed) else 1)


if __name__ == "__main__":
    main()
