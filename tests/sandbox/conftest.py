"""A docker sandbox on the running engine, and one workspace in it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from orchestrator.host.processes import system_label
from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.docker import DockerSandbox
from orchestrator.settings import Settings, load_settings

SOCKET = os.environ.get("DOCKER_SOCKET", "/var/run/docker.sock")
IMAGE = os.environ.get("ORCHESTRATOR_SANDBOX_IMAGE", "")


def settings_at(home: Path, **environ: str) -> Settings:
    """Settings of a docker sandbox of its own."""
    given = {"ORCHESTRATOR_HOME": str(home), "ORCHESTRATOR_SANDBOX_IMAGE": IMAGE}
    return load_settings({**given, "DOCKER_SOCKET": SOCKET, **environ})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def left(home: Path) -> Iterator[Callable[[], list[str]]]:
    """The states of this home's containers; whatever a failed test left is removed."""
    client = docker.DockerClient(f"unix://{SOCKET}")
    mine = {"label": f"orchestrator.system={system_label(home)}"}

    def states() -> list[str]:
        return [one.status for one in client.containers.list(all=True, filters=mine)]

    yield states
    for container in client.containers.list(all=True, filters=mine):
        container.remove(force=True)
    client.close()


@pytest.fixture
def sandbox(home: Path, left: object) -> DockerSandbox:
    limits = {"ORCHESTRATOR_SANDBOX_MEMORY": "256MiB", "ORCHESTRATOR_SANDBOX_PIDS": "64"}
    return DockerSandbox(settings_at(home, **limits))


@pytest.fixture
def agent_id() -> str:
    """Of this test alone: other tests run beside it."""
    return f"a-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def root(tmp_path: Path, agent_id: str) -> Path:
    """The workspace of the agent under test."""
    made = tmp_path / "workspaces" / agent_id
    made.mkdir(parents=True, mode=0o700)
    return made


@pytest.fixture
def spec(root: Path, agent_id: str) -> ProcessSpec:
    return ProcessSpec(
        agent_id=agent_id, attempt=1, argv=("true",), env={"PATH": "/nowhere"}, cwd=root, root=root
    )


@pytest.fixture
def inside(sandbox: DockerSandbox, spec: ProcessSpec) -> Callable[..., Completed]:
    """Run a program inside, to its end."""

    def run(*argv: str, **changes: object) -> Completed:
        asked = replace(spec, argv=argv, **changes)
        return run_to_end(sandbox, asked, timeout_s=240, output_limit_bytes=2**20)

    return run
