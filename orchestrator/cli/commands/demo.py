"""`orch demo`: runs one agent with a system and a remote of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import yaml

from orchestrator import wiring
from orchestrator.cli.clients import open_client
from orchestrator.cli.clients.interface import Client
from orchestrator.cli.output.render import elapsed, log_line
from orchestrator.cli.output.text import notify, say
from orchestrator.errors import GitFailed, StartFailed
from orchestrator.models import AgentState, Status
from orchestrator.settings import Settings, load_settings, variables

LOG_TAIL = 20
_BRANCH = "main"
_SAMPLE = {
    ".gitignore": "__pycache__/\n",
    "pyproject.toml": """\
[project]
name = "greetings"
version = "1.0"

[tool.orchestrator.gates]
tests = "python3 -m unittest -q"
""",
    "greetings.py": '''\
"""Greetings."""


def hello(name: str) -> str:
    """Greet someone."""
    return f"Hello, {name}!"
''',
    "test_greetings.py": """\
import unittest

import greetings


class GreetingsTest(unittest.TestCase):
    def test_hello(self):
        self.assertEqual(greetings.hello("Ada"), "Hello, Ada!")
""",
}
_FAREWELL = '''

def goodbye(name: str) -> str:
    """Take leave of someone."""
    return f"Goodbye, {name}!"
'''
_FAREWELL_TEST = """
    def test_goodbye(self):
        self.assertEqual(greetings.goodbye("Ada"), "Goodbye, Ada!")
"""
_STEPS = [
    {"append": {"path": "greetings.py", "content": _FAREWELL}},
    {"append": {"path": "test_greetings.py", "content": _FAREWELL_TEST}},
    {"run": "python3 -m unittest -q"},
    {"tokens": {"input": 1200, "output": 340}},
    {"say": "Add a farewell beside the greeting, and a test of it"},
]


@click.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """Run one agent from spawn to a pushed branch.

    It needs only git. It starts a temporary system and stops it at the end. The remote stays in
    ORCHESTRATOR_HOME/demo until the next demo.
    """
    folder = settings.home / "demo"
    environ = _environ(folder)
    with _fresh(folder, environ):
        remote = _make_remote(folder)
        say(f"made a repository with one test: {remote}")
        say(f"starting a system for it: {environ['ORCHESTRATOR_HOME']}")
        _orch("up", "--detach", folder=folder, environ=environ)
        ours = load_settings(environ, dotenv=Path(os.devnull))
        with open_client(ours) as client:
            agent = _run_agent(client, remote)
            if agent.status is not Status.COMPLETED:
                _report_failure(client, agent)
                click.get_current_context().exit(1)
        branch = agent.branch or ""
        say(f"\n$ git -C {remote} log --stat {_BRANCH}..{branch}")
        say(_git("log", "--stat", f"{_BRANCH}..{branch}", folder=remote))
    say(f"agent {agent.agent_id} pushed branch {branch} at commit {agent.commit} to {remote}")


def _run_agent(client: Client, remote: Path) -> AgentState:
    document = {
        "taskId": wiring.new_id(),
        "agentType": "worker",
        "agent": "scripted",
        "gateProfile": "minimal",
        "context": {
            "repository": str(remote),
            "branch": _BRANCH,
            "workItems": [yaml.safe_dump({"steps": _STEPS}, sort_keys=False)],
        },
    }
    agent_id = client.spawn(document, idempotency_key="")
    say(f"spawned agent {agent_id}")
    phase = ""
    for look in client.follow(agent_id):
        for line in look.lines:
            say(f"  {log_line(line)}")
        if look.agent.phase != phase:
            phase = look.agent.phase
            say(f"{elapsed(look.agent)} {phase}")
    return look.agent


def _report_failure(client: Client, agent: AgentState) -> None:
    notify(f"the agent has {agent.status}: {agent.error or ''}")
    for line in client.log_end(agent.agent_id, LOG_TAIL):
        say(f"  {log_line(line)}", err=True)


def _environ(folder: Path) -> dict[str, str]:
    """Return an environment with the demo's settings and without the user's."""
    foreign = {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") not in variables() and not name.startswith("ORCHESTRATOR_")
    }
    with socket.socket() as api, socket.socket() as valkey:
        for listener in (api, valkey):
            listener.bind(("127.0.0.1", 0))
        return foreign | {
            "ORCHESTRATOR_HOME": str(folder / "home"),
            "ORCHESTRATOR_PORT": str(api.getsockname()[1]),
            "VALKEY_PORT": str(valkey.getsockname()[1]),
        }


@contextmanager
def _fresh(folder: Path, environ: dict[str, str]) -> Iterator[None]:
    """Create the folder, and stop the system in it at the end, also after an error."""
    if folder.exists():
        # The system of an interrupted demo may still run in it.
        _orch("down", folder=folder, environ=environ, is_quiet=True)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        _orch("down", folder=folder, environ=environ, is_quiet=True)


def _orch(*arguments: str, folder: Path, environ: dict[str, str], is_quiet: bool = False) -> None:
    # In its own folder it reads no `.env` of the user.
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        env=environ,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if is_quiet else None,
        check=False,
    )
    if done.returncode and not is_quiet:
        msg = f"`orch {' '.join(arguments)}` ended with {done.returncode}."
        raise StartFailed(msg, action="Read its words above.")


def _make_remote(folder: Path) -> Path:
    sample, remote = folder / "sample", folder / "remote.git"
    sample.mkdir()
    for name, text in _SAMPLE.items():
        (sample / name).write_text(text, encoding="utf-8")
    _git("init", "--quiet", "--initial-branch", _BRANCH, folder=sample)
    _git("add", "--all", folder=sample)
    _git("commit", "--quiet", "--message", "Greet", folder=sample)
    _git("clone", "--quiet", "--bare", str(sample), str(remote), folder=folder)
    shutil.rmtree(sample)
    return remote


def _git(*arguments: str, folder: Path) -> str:
    identity = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", "Orchestrator demo"), ("EMAIL", "demo@localhost"))
    }
    # The user's configuration may require signatures, hooks or a pager.
    bare = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *arguments],  # noqa: S607 - the user's git
        cwd=folder,
        env={"PATH": os.environ.get("PATH", ""), **identity, **bare},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GitFailed(done.stderr)
    return done.stdout
