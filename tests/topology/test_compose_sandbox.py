"""The same with `deploy/compose.sandbox.yaml`: containers for agents, and no socket for them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import SOCKET, has_image
from tests.processes import eventually
from tests.topology.composed import Composed, seed, up
from tests.topology.hosts import UID

SANDBOX = "orchestrator-sandbox:local"
#: What a sandbox would see, if it were given a way to the engine.
WAYS = "/var/run/docker.sock /run/docker.sock /run/orchestrator/docker_proxy"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of this host, at the same path in the pools."""
    made = Path(tempfile.mkdtemp(prefix="orchestrator-", dir="/var/lib"))
    os.chown(made, UID, UID)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def composed(tmp_path: Path, home: Path) -> Iterator[Composed]:
    if not has_image(SANDBOX):
        pytest.skip(f"no {SANDBOX}: `make sandbox-image` builds it")
    environ = {
        "ORCHESTRATOR_HOME": str(home),
        "DOCKER_GID": str(SOCKET.stat().st_gid),
        "ORCHESTRATOR_SANDBOX_MEMORY": "256MiB",
    }
    with up(tmp_path, "compose.yaml", "compose.sandbox.yaml", **environ) as system:
        yield system


@pytest.mark.timeout(1200)
def test_an_agent_and_its_gates_run_in_containers_and_only_the_filter_has_the_engine(
    composed: Composed, home: Path
) -> None:
    eventually(lambda: composed.status("ORCHESTRATOR_PORT", "/health/ready") == 200)
    remote = str(home / "remote.git")
    composed.compose("exec", "-T", "worker-spawn", "sh", "-ec", seed(remote))
    target = ("--repo", remote, "--branch", "main", "--gate-profile", "minimal")
    look = f"for way in {WAYS}; do test ! -e $way || exit 1; done; hostname > host"
    work = json.dumps({"steps": [{"run": look}]})
    outcome = composed.orch("spawn", *target, "--item", work, "--agent", "scripted", "--wait")
    assert outcome["status"] == "completed", outcome
    assert composed.orch("status", str(outcome["agentId"]))["sandbox"] == "docker"
    pushed = composed.compose(
        "exec", "-T", "worker-spawn", "git", "-C", remote, "show", f"{outcome['branch']}:host"
    )
    # A container's name, where nothing else is said, begins its id.
    assert len(pushed.strip()) == 12
    assert pushed.strip() != "worker-spawn"

    running = composed.compose("ps", "-q").split()
    reported = subprocess.run(["docker", "inspect", *running], capture_output=True, check=True)
    has_socket = [
        (part["Config"]["Labels"]["com.docker.compose.service"], part["HostConfig"]["NetworkMode"])
        for part in json.loads(reported.stdout)
        if "docker.sock" in json.dumps(part["Mounts"])
    ]
    assert has_socket == [("docker-proxy", "none")]
    assert '"event": "refused"' not in composed.compose("logs", "docker-proxy")
