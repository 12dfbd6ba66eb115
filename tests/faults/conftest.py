"""One system for many faults, asked over HTTP, and agents that tell from inside what they run."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.store import changes
from orchestrator.store.client import Store
from tests.doubles.messages_api import MessagesApi, ToolCall, Turn
from tests.integration.conftest import SAMPLE, System, make_remote, running
from tests.processes import Observer, eventually

KEY = "sk-only-for-the-double"
#: A stopped worker's agents are dead after this.
DEADLINE_S = 3
SLOTS = 6
#: What agents do here is seen by files and pids of the host's, which a confined one does not share.
OPEN = {"ORCHESTRATOR_PROCESS_LEVEL": "shim"}
#: Its command runs until it is killed, and its pid is the name of a file in `$D`.
HANGS = ": >$D/$$; exec sleep 600"

Document = dict[str, Any]


@dataclass(frozen=True)
class Fleet:
    """A running system as a client of its API sees it."""

    system: System

    def call(self, method: str, path: str, body: Document | None = None) -> tuple[int, Document]:
        """Ask the API; returns the status and the document of its answer."""
        request = urllib.request.Request(
            f"{self.system.api}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    def spawn(self, remote: Path | str, *steps: object, **changes: object) -> str:
        """Spawn a scripted agent; returns its id."""
        status, answer = self.call("POST", "/agents/spawn", request_body(remote, *steps, **changes))
        assert status == 201, answer
        return str(answer["agentId"])

    def spawn_that(self, remote: Path | str, folder: Path, command: str, **changes: object) -> str:
        """Spawn an agent that runs a command; `$D` in it is this folder."""
        folder.mkdir(exist_ok=True)
        program = folder / "program.sh"
        program.write_text(command.replace("$D", str(folder)))
        return self.spawn(remote, {"run": f"exec bash {program}"}, **changes)

    def state(self, agent_id: str) -> Document:
        """Return the agent's state."""
        return self.call("GET", f"/agents/{agent_id}/status")[1]

    def receipt(self, agent_id: str) -> Document:
        """Return the receipt of the agent's kill."""
        return self.call("GET", f"/agents/{agent_id}/receipt")[1]

    def kill(self, agent_id: str) -> tuple[int, Document]:
        """Kill one agent."""
        return self.call("POST", f"/agents/{agent_id}/kill")

    def kill_all(self) -> Document:
        """Kill every agent."""
        status, report = self.call("POST", "/agents/kill-all")
        assert status == 200, report
        return report

    def await_phase(self, agent_id: str, *phases: str) -> Document:
        """Wait until the agent is in one of these phases; returns its state."""

        def check() -> Document | None:
            state = self.state(agent_id)
            ended = state["status"] in ("failed", "completed") and state["status"] not in phases
            assert not ended, state
            return state if state["phase"] in phases else None

        found = eventually(check)
        assert isinstance(found, dict)
        return found

    def events(self, agent_id: str, kind: str) -> list[Document]:
        """Return the events of this kind that tell of the agent."""
        with self.valkey() as client:
            entries = client.xrange("orchestrator:events:stream")
        reported = [json.loads(fields[b"event"]) for _, fields in entries]
        return [
            event for event in reported if (event["agentId"], event["type"]) == (agent_id, kind)
        ]

    def audited(self, agent_id: str) -> list[Document]:
        """Return what the audit tells of the agent."""
        reported = self.system.orch("audit", "--agent", agent_id, "--json").stdout
        return list(json.loads(reported)["entries"])

    def worker_pid(self, agent_id: str) -> int:
        """Return the process that holds an agent."""
        return int(self.state(agent_id)["workerProcess"].partition(":")[0])

    def change(self, agent_id: str, attempt: int = 1) -> bytes:
        """Return the bundle of an attempt."""
        with closing(Store(self.system.valkey)) as store:
            return store.follow(changes.get_change(agent_id, attempt))

    def valkey(self) -> redis.Redis:
        """Open the store."""
        return redis.Redis.from_url(self.system.valkey)


def request_body(remote: Path | str, *steps: object, **changes: object) -> Document:
    """Return the body of a spawn whose scripted agent plays these steps."""
    items = [json.dumps({"steps": steps})]
    return {
        "taskId": str(uuid.uuid4()),
        "agentType": "worker",
        "gateProfile": "minimal",
        "context": {"repository": str(remote), "branch": "main", "workItems": items},
        **changes,
    }


def all_killed(count: int) -> Document:
    """Return the report of a kill of so many agents, each confirmed."""
    message = f"Kill all completed: {count} killed, 0 failed"
    return {"message": message, "total": count, "killed": count, "failed": 0, "errors": []}


def worker_name(pool: str) -> str:
    return f"{pool}@{socket.gethostname()}"


@pytest.fixture(scope="package")
def messages_api() -> Iterator[MessagesApi]:
    """The model of Claude Code, which asks for one long command."""
    command = {"command": "echo $$; exec sleep 600", "description": "Wait", "timeout": 600_000}
    with MessagesApi([Turn((ToolCall("Bash", command),))], key=KEY) as double:
        yield double


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory, messages_api: MessagesApi) -> Iterator[Fleet]:
    """A system for the tests that leave it as it was; its agents are scripted unless named."""
    with running(
        tmp_path_factory.mktemp("faults"),
        ORCHESTRATOR_AGENT="scripted",
        **OPEN,
        ORCHESTRATOR_SUPERVISOR_DEADLINE=f"{DEADLINE_S}s",
        MAX_CONCURRENT_AGENTS=str(SLOTS),
        CLAUDE_API_KEY=KEY,
        ANTHROPIC_BASE_URL=messages_api.url,
        PATH=f"{hanging_ssh(tmp_path_factory.mktemp('programs'))}:{os.environ['PATH']}",
    ) as system:
        yield Fleet(system)


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """The shared system, with no agent of another test, and none left for the next."""
    yield shared
    shared.kill_all()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare remote with a small project."""
    return make_remote(tmp_path, SAMPLE)


@pytest.fixture
def observer() -> Iterator[Observer]:
    """Remembers processes from outside."""
    watching = Observer()
    yield watching
    watching.end()


def hanging_ssh(programs: Path) -> Path:
    """Make an `ssh` that leaves its pid in the folder named as its remote's path, and hangs."""
    program = programs / "ssh"
    # git calls it with the host and `git-upload-pack '<path>'`.
    program.write_text(
        "#!/bin/sh\ntrap '' TERM\n"
        "for command; do :; done\n"
        "folder=${command#*\\'}; touch ${folder%\\'}/$$; exec sleep 600\n"
    )
    program.chmod(0o755)
    return programs


def spawn_that_waits_once(fleet: Fleet, folder: Path, pool: str) -> tuple[str, int]:
    """Spawn an agent whose program, or whose gate, waits for ever the first time that it is run.

    Returns its id and the pid of what waits.
    """
    once = (
        f"mkdir {folder}/seen 2>/dev/null && {{ echo $$ >{folder}/pid; exec sleep 600; }};"
        " echo Ran 1 test in 0.1s; echo OK"
    )
    gate = once if pool == "gates" else "echo Ran 1 test in 0.1s; echo OK"
    table = f"[tool.orchestrator.gates]\ntests = {{command = '''{gate}'''}}\n"
    remote = make_remote(folder, {"pyproject.toml": table})
    steps: list[Document] = [{"write": {"path": "made.txt", "content": "x"}}]
    if pool == "spawn":
        steps.append({"run": once})
    agent_id = fleet.spawn(remote, *steps)
    told = folder / "pid"
    eventually(lambda: told.exists() and told.read_text().strip())
    return agent_id, int(told.read_text())


def send(pid: int, number: signal.Signals) -> None:
    os.kill(pid, number)
