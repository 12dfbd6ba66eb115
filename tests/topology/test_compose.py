"""The system of `deploy/compose.yaml`, as an operator brings it up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.processes import eventually

DEPLOY = Path(__file__).parents[2] / "deploy"
REMOTE = "/var/lib/orchestrator/remote.git"
#: A repository that the pools reach, in what they share.
_SEED = f"""
export GIT_AUTHOR_NAME=P GIT_AUTHOR_EMAIL=p@example
export GIT_COMMITTER_NAME=P GIT_COMMITTER_EMAIL=p@example
cd /tmp && git init -q -b main seed && cd seed
printf '[tool.orchestrator.gates]\\ntests = "true"\\n' > pyproject.toml
git add -A && git commit -q -m Begin && git clone -q --bare . {REMOTE}
"""
pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Composed:
    """A system that is up."""

    env: dict[str, str]
    folder: Path

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run docker-compose; returns what it printed on standard output."""
        ran = subprocess.run(
            ["docker-compose", "-f", str(self.folder / "compose.yaml"), *arguments],
            env=self.env, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert ran.returncode == 0 or not check, ran.stderr
        return ran.stdout

    def orch(self, *arguments: str) -> dict[str, object]:
        """Run `orch` where the API runs; returns what it printed."""
        told = self.compose("exec", "-T", "api", "orch", *arguments, "--json", check=False)
        found: dict[str, object] = json.loads(told)
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


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The system, up, with secrets and ports of its own."""
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose: apt-get install docker-compose")
    folder = tmp_path_factory.mktemp("deploy")
    shutil.copy(DEPLOY / "compose.yaml", folder)
    subprocess.run([DEPLOY / "secrets.sh", folder / "secrets"], check=True)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "COMPOSE_PROJECT_NAME": f"test{uuid.uuid4().hex[:8]}",
        "ORCHESTRATOR_PORT": str(free_port()),
        "ORCHESTRATOR_FLOWER_PORT": str(free_port()),
    }
    composed = Composed(env, folder)
    try:
        composed.compose("up", "--detach", "--no-build")
        yield composed
    finally:
        composed.compose("down", "--volumes", "--timeout", "5")


def test_what_compose_brings_up_runs_an_agent_kills_all_and_answers_its_operator(composed):
    key = (composed.folder / "secrets" / "api_key").read_text()
    eventually(lambda: composed.status("ORCHESTRATOR_PORT", "/health/ready") == 200, within_s=180)

    composed.compose("exec", "-T", "worker-spawn", "sh", "-ec", _SEED)
    target = ("--repo", REMOTE, "--branch", "main", "--gate-profile", "minimal")
    work = '{"steps": [{"write": {"path": "made.txt", "content": "made"}}]}'
    outcome = composed.orch("spawn", *target, "--item", work, "--agent", "scripted", "--wait")
    assert outcome["status"] == "completed", outcome
    pushed = composed.compose(
        "exec", "-T", "worker-spawn", "git", "-C", REMOTE, "show", f"{outcome['branch']}:made.txt"
    )
    assert pushed == "made"

    hangs = composed.orch("spawn", *target, "--item", '{"steps": [{"hang": true}]}')
    eventually(lambda: composed.orch("status", str(hangs["agentId"]))["status"] == "running")
    report = composed.orch("kill-all")
    assert (report["killed"], report["failed"]) == (1, 0), report

    assert composed.status("ORCHESTRATOR_PORT", "/agents") == 401
    assert composed.status("ORCHESTRATOR_PORT", "/agents", **{"X-API-Key": key}) == 200
    login = {"Authorization": f"Basic {b64encode(f'operator:{key}'.encode()).decode()}"}
    assert composed.status("ORCHESTRATOR_FLOWER_PORT", "/") == 401
    eventually(lambda: composed.status("ORCHESTRATOR_FLOWER_PORT", "/", **login) == 200)


def test_what_runs_as_a_part_has_no_rights_and_no_secret_in_its_environment(composed):
    """Asked of the engine: what it was told is what it does."""
    running = composed.compose("ps", "-q").split()
    told = subprocess.run(["docker", "inspect", *running], capture_output=True, check=True)
    secrets = [each.read_text() for each in (composed.folder / "secrets").iterdir()]
    for part in json.loads(told.stdout):
        host, config = part["HostConfig"], part["Config"]
        assert config["User"] == "10001:10001"
        assert (host["ReadonlyRootfs"], host["Privileged"], host["CapDrop"]) == (
            True,
            False,
            ["ALL"],
        )
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert min(host["Memory"], host["NanoCpus"], host["PidsLimit"]) > 0
        assert "docker.sock" not in json.dumps(part["Mounts"])
        shown = json.dumps([config["Env"], config["Cmd"]])
        assert not [secret for secret in secrets if secret and secret in shown]
