"""The `orch` program on a real Valkey, and agents for it to show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import (
    LogLine,
)
from orchestrator.store import agent_logs

ROOT = Path(__file__).parents[3]

ORCH = [sys.executable, "-c", "from orchestrator.cli import main; main(prog_name='orch')"]
REQUEST = ("--repo", "/srv/repo.git", "--branch", "main", "--item", "add a function")
HOSTILE = "\x1b[2Jred \x1b]0;title\x07[bold]x[/bold]\r\u202e end\n12:00:00 forged"


def now():
    return datetime.now(UTC)


def spawned_by(process):
    """Return the id that a following `orch spawn` announces, after what it says of a slow store."""
    return next(words[-1] for words in map(str.split, process.stderr) if "spawned" in words)


class Orch:
    """Runs commands against one Valkey."""

    def __init__(self, valkey_url, cwd):
        self.cwd = cwd
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_HOME": str(cwd / "home"),
        }

    def run(self, *arguments, code=0, **environ):
        env = {name: value for name, value in (self.env | environ).items() if value is not None}
        done = subprocess.run(
            [*ORCH, *arguments],
            env=env,
            cwd=self.cwd,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments, code=0):
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def spawn(self, *arguments):
        return self.json("spawn", *REQUEST, *arguments)["agentId"]

    @contextmanager
    def started(self, *arguments, **streams):
        process = subprocess.Popen(
            [*ORCH, *arguments], env=self.env, cwd=self.cwd, text=True, **streams
        )
        with process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def orch(store, valkey_url, tmp_path):
    return Orch(valkey_url, tmp_path)


@pytest.fixture
def holder(store):
    return AgentLeases(store, now, lambda: str(uuid.uuid4()), "spawn@here", 30.0, "1:1")


def run_to(holder, agent_id):
    """Move an agent to `running` as a pool does."""
    return holder.start(holder.claim(agent_id), base_commit="b" * 40)


def say(store, agent, text):
    line = LogLine(at=now(), source="agent", text=text)
    assert store.run(agent_logs.append_log(agent.agent_id, agent.attempt, [line], cap=1000))
