"""Systems brought up with docker-compose, and how a test talks to them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


def seed(remote: str) -> str:
    """Return a script that makes a repository which the pools reach, in what they share."""
    return f"""
export GIT_AUTHOR_NAME=P GIT_AUTHOR_EMAIL=p@example
export GIT_COMMITTER_NAME=P GIT_COMMITTER_EMAIL=p@example
cd /tmp && git init -q -b main seed && cd seed
printf '[tool.orchestrator.gates]\\ntests = "echo right"\\n' > pyproject.toml
git add -A && git commit -q -m Begin && git clone -q --bare . {remote}
"""


@dataclass(frozen=True)
class Composed:
    """A system that is up."""

    env: dict[str, str]
    folder: Path

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run docker-compose; returns what it printed on standard output."""
        ran = subprocess.run(
            ["docker-compose", *arguments],
            env=self.env, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert ran.returncode == 0 or not check, ran.stderr
        return ran.stdout

    def orch(self, *arguments: str) -> dict[str, object]:
        """Run `orch` where the API runs; returns what it printed."""
        reported = self.compose("exec", "-T", "api", "orch", *arguments, "--json", check=False)
        found: dict[str, object] = json.loads(reported)
        return found

    def status(self, variable: str, path: str, **headers: str) -> int:
        """Ask a published port of this machine; returns the status of its answer, 0 for none."""
        url = f"http://127.0.0.1:{self.env[variable]}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code
        except OSError:
            return 0


@contextmanager
def up(folder: Path, *files: str, **environ: str) -> Iterator[Composed]:
    """Bring a system up from these files of `deploy/`, with secrets and ports of its own."""
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose: apt-get install docker-compose")
    for name in files:
        shutil.copy(DEPLOY / name, folder)
    subprocess.run([DEPLOY / "secrets.sh", folder / "secrets"], check=True)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "COMPOSE_FILE": ":".join(str(folder / name) for name in files),
        "COMPOSE_PROJECT_NAME": f"test{uuid.uuid4().hex[:8]}",
        "ORCHESTRATOR_PORT": str(free_port()),
        "ORCHESTRATOR_FLOWER_PORT": str(free_port()),
        **environ,
    }
    composed = Composed(env, folder)
    try:
        composed.compose("up", "--detach", "--no-build")
        yield composed
    finally:
        composed.compose("down", "--volumes", "--timeout", "5")
