"""One host's services, worked step by step in the process of the test."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.interfaces.agent import AgentBackend
from orchestrator.models import AgentState, Status
from orchestrator.settings import load_settings
from orchestrator.store import agents
from orchestrator.wiring import submit_service
from orchestrator.wiring.worker import Services, build
from tests.integration.conftest import git


def secret() -> str:
    """Make a token as a code host would, joined when it is asked for."""
    return "_".join(("ghp", secrets.token_hex(18)))


class Lab:
    """One host's services, worked step by step in this process."""

    def __init__(self, home: Path, valkey_url: str, **variables: str) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ORCHESTRATOR_HOME": str(home / "host"),
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_AGENT": "scripted",
            **variables,
        }
        self.settings = load_settings(self.environment, dotenv=home / "no.env")
        self.services: Services = build(self.settings, worker="spawn@here")
        self.store = self.services.store

    def use(self, backend: AgentBackend | None = None, **stages: Any) -> None:
        """Replace stages, or let every agent be of this backend."""
        if backend is not None:
            stages["runner"] = replace(self.services.runner, backends=lambda _: backend)
        # A stage is built at its first use, and kept in the dictionary of the services.
        vars(self.services).update(stages)

    def spawn(self, remote: Path | str, *steps: object, **more: Any) -> str:
        script = {"rounds": more.pop("rounds")} if "rounds" in more else {"steps": list(steps)}
        context = {"repository": str(remote), "branch": "main", "workItems": [json.dumps(script)]}
        body = {
            "taskId": "t-1",
            "agentType": "worker",
            "gateProfile": "minimal",
            "context": context,
            **more,
        }
        return self.store.run(submit_service(self.settings).submit(body)).agent_id

    def state(self, agent_id: str) -> AgentState:
        return self.store.run(agents.read(agent_id))

    def work(self, agent_id: str) -> AgentState:
        self.services.runner.run(agent_id)
        return self.state(agent_id)

    def evaluate(self, agent_id: str) -> AgentState:
        self.services.gate_check.run(agent_id, self.state(agent_id).attempt)
        return self.state(agent_id)

    def play(self, remote: Path | str, *steps: object, **more: Any) -> AgentState:
        """Run an agent to its end, however many rounds that takes."""
        agent_id = self.spawn(remote, *steps, **more)
        while (agent := self.state(agent_id)).status in (Status.SPAWNING, Status.RUNNING):
            self.work(agent_id)
            agent = self.state(agent_id)
            if agent.status is Status.RUNNING:
                self.evaluate(agent_id)
        return agent


def write(path: str, content: str) -> dict[str, object]:
    return {"write": {"path": path, "content": content}}


def advance(remote: Path, **files: str) -> str:
    """Let somebody else push to `main`."""
    clone = remote.parent / f"someone-{secrets.token_hex(4)}"
    git("clone", "-q", str(remote), str(clone), cwd=remote.parent)
    for name, content in files.items():
        (clone / name.replace("__", ".")).write_text(content)
    git("add", "-A", cwd=clone)
    git("commit", "-q", "-m", "Meanwhile", cwd=clone)
    git("push", "-q", "origin", "main", cwd=clone)
    return git("rev-parse", "HEAD", cwd=clone)


def branches(remote: Path) -> set[str]:
    return set(git("for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=remote).split())


def orch(one: Lab, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        env=one.environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
