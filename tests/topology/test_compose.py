"""The system of `deploy/compose.yaml`, as an operator brings it up."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.processes import eventually
from tests.topology.composed import Composed, seed, up

REMOTE = "/var/lib/orchestrator/remote.git"


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with up(tmp_path_factory.mktemp("deploy"), "compose.yaml") as system:
        yield system


def test_what_compose_brings_up_runs_an_agent_kills_all_and_answers_its_operator(composed):
    key = (composed.folder / "secrets" / "api_key").read_text()
    eventually(lambda: composed.status("ORCHESTRATOR_PORT", "/health/ready") == 200)

    composed.compose("exec", "-T", "worker-spawn", "sh", "-ec", seed(REMOTE))
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
    # Flower's own asks nobody who it is.
    assert composed.status("ORCHESTRATOR_FLOWER_PORT", "/metrics") == 401


def test_what_runs_as_a_part_has_no_rights_and_no_secret_in_its_environment(composed):
    """Asked of the engine: what it was told is what it does."""
    running = composed.compose("ps", "-q").split()
    reported = subprocess.run(["docker", "inspect", *running], capture_output=True, check=True)
    secrets = [each.read_text() for each in (composed.folder / "secrets").iterdir()]
    for part in json.loads(reported.stdout):
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
