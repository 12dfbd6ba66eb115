"""A whole system, as an operator starts it: `orch up` in a home of its own, and a git remote."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestrator.audit.log import Audit
from orchestrator.control.kill_switch import KillSwitch
from orchestrator.control.submit import SubmitService
from orchestrator.settings import load_settings
from orchestrator.store.client import Store
from orchestrator.wiring import clock, new_id
from tests.conftest import free_port

if TYPE_CHECKING:
    from tests.integration.ending import Host


def git(*arguments: str, cwd: Path) -> str:
    """Run git as a person would; returns what it printed."""
    identity = ("-c", "user.name=Person", "-c", "user.email=person@example")
    ran = subprocess.run(
        ["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True
    )
    return ran.stdout.strip()


def make_remote(folder: Path, files: dict[str, str]) -> Path:
    """Make a bare repository whose `main` holds these files."""
    work = folder / "seed"
    work.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=work)
    for path, content in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(content)
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "Begin", cwd=work)
    remote = folder / "remote.git"
    git("clone", "-q", "--bare", str(work), str(remote), cwd=folder)
    return remote


SAMPLE = {
    "pyproject.toml": '[tool.orchestrator.gates]\ntests = "python3 -m unittest -q"\n',
    "calc.py": "def add(a, b):\n    return a + b\n",
    "test_calc.py": (
        "import unittest\n\nfrom calc import add\n\n\n"
        "class TestAdd(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n"
    ),
}


@dataclass(frozen=True)
class System:
    """A running orchestrator and how to talk to it."""

    api: str
    valkey: str
    home: Path
    env: dict[str, str]

    def orch(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an `orch` command in this system's environment."""
        return subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", *arguments],
            env=self.env,
            check=check,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def spawn(self, remote: Path, *items: str, **options: str) -> str:
        """Spawn an agent; returns its id."""
        options = {"gate_profile": "minimal", **options}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        ran = self.orch(
            "spawn", f"--repo={remote}", "--branch=main", *(f"--item={item}" for item in items),
            *flags, "--json",
        )  # fmt: skip
        return str(json.loads(ran.stdout)["agentId"])

    def wait(self, agent_id: str) -> dict[str, Any]:
        """Wait for an agent's end; returns its outcome."""
        ran = self.orch("wait", agent_id, "--timeout=240s", "--json", check=False)
        assert ran.stdout, ran.stderr
        # Pytest shows it if the test fails: the code alone does not say what happened.
        print(ran.stdout)
        outcome: dict[str, Any] = json.loads(ran.stdout)
        return outcome


@contextmanager
def running(
    home: Path, *options: str, within: Sequence[str] = (), **extra: str
) -> Iterator[System]:
    """Start a system, by the command `within` if there is one, and take it down in any case.

    `options` are of `orch up`.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env = {
        **kept,
        "ORCHESTRATOR_HOME": str(home),
        "ORCHESTRATOR_PORT": str(free_port()),
        "VALKEY_PORT": str(free_port()),
        "ORCHESTRATOR_FLOWER_PORT": str(free_port()),
        **extra,
    }
    # Started where a checkout has modules named like ours: none of them may be taken for ours.
    home.mkdir(exist_ok=True)
    for name in ("workers", "celeryconfig"):
        (home / f"{name}.py").write_text("raise SystemExit('taken for a module of ours')\n")
    orch = [sys.executable, "-m", "orchestrator.cli"]
    up = subprocess.run(
        [*within, *orch, "up", "--detach", "--json", *options], env=env, cwd=home,
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert up.returncode == 0, up.stderr
    try:
        reported = json.loads(up.stdout)
        yield System(reported["api"], reported["valkey"], home, env)
    finally:
        subprocess.run([*orch, "down"], env=env, check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for the tests of the whole path; its agents are scripted unless named."""
    home = tmp_path_factory.mktemp("home")
    with running(home, "--flower", ORCHESTRATOR_AGENT="scripted") as started:
        yield started


@pytest.fixture
def ask_flower(system: System) -> Callable[..., tuple[int, str]]:
    """Send Flower a request; returns status and body."""
    login = f"orch:{(system.home / 'flower-password').read_text()}"
    basic = f"Basic {base64.b64encode(login.encode()).decode()}"

    def send(path: str, *, is_known: bool = True, **options: Any) -> tuple[int, str]:
        url = f"http://127.0.0.1:{system.env['ORCHESTRATOR_FLOWER_PORT']}{path}"
        request = urllib.request.Request(url, **options)
        if is_known:
            request.add_header("Authorization", basic)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return send


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare remote with a small Python project."""
    return make_remote(tmp_path, SAMPLE)


@pytest.fixture
def script() -> Callable[..., str]:
    """Render steps as the work item that a scripted agent plays."""

    def render(*steps: dict[str, object] | str) -> str:
        return yaml.safe_dump({"steps": list(steps)})

    return render


@pytest.fixture
def host(store: Store, valkey_url: str, tmp_path: Path) -> Host:
    """One host whose services run in this process, so that one step of an attempt can fail."""
    from tests.integration.ending import HOOKS, Host

    settings = load_settings(
        {
            "PATH": os.environ["PATH"],
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_HOME": str(tmp_path / "here"),
            "ORCHESTRATOR_PROCESS_LEVEL": "shim",
        }
    )
    (tmp_path / "scratch").mkdir()
    remote = make_remote(tmp_path, {**SAMPLE, "orchestrator.toml": HOOKS})
    return Host(settings, store, remote, tmp_path / "scratch")


@pytest.fixture
def switch() -> KillSwitch:
    """A kill switch without a system."""
    return KillSwitch(Audit(b"k" * 32, clock, new_id), clock, new_id)


@pytest.fixture
def spawn(store: Store) -> Callable[..., str]:
    """A function that registers an agent in the Valkey of the test, and returns its id."""
    service = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    context = {"repository": "/srv/x.git", "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "context": context}
    return lambda **more: store.run(service.submit({**body, **more})).agent_id
