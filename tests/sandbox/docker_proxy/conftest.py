"""The Docker socket proxy as its own process before the engine, and its client."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.host.processes import system_label
from orchestrator.sandboxes.docker import DockerSandbox
from tests.processes import eventually
from tests.sandbox.conftest import IMAGE, SOCKET, settings_at

BASE = IMAGE or "orchestrator-sandbox:local"

LIMITS = {"ORCHESTRATOR_SANDBOX_MEMORY": "256MiB", "ORCHESTRATOR_SANDBOX_PIDS": "64"}


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        yield client


class Asking:
    """A client of the filter that says what it likes."""

    def __init__(self, path: Path, log: Path) -> None:
        self.path = path
        self._log = log

    def __call__(self, method: str, target: str, body: object = None) -> tuple[int, str]:
        """Ask; returns the status and the message of the answer."""
        connection = http.client.HTTPConnection("engine", timeout=30)
        with connected(self.path) as connection.sock:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, target, data)
            answer = connection.getresponse()
            content = answer.read()
        message = json.loads(content).get("message", "") if answer.status >= 400 else ""
        return answer.status, message

    def raw(self, data: bytes) -> bytes:
        """Send bytes; returns all that is answered."""
        with connected(self.path) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def refusals(self) -> int:
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return max((line.get("total", 0) for line in lines), default=0)


@pytest.fixture
def ask(home: Path, left: object, tmp_path: Path) -> Iterator[Asking]:
    """The filter, as its own process before the engine that runs."""
    path, log = tmp_path / "filter", tmp_path / "filter.log"
    (home / "bin").mkdir(parents=True)
    given = {
        "PATH": os.environ["PATH"],
        "ORCHESTRATOR_HOME": str(home),
        "DOCKER_SOCKET": SOCKET,
        **LIMITS,
    }
    if IMAGE:
        given["ORCHESTRATOR_SANDBOX_IMAGE"] = IMAGE
    given["ORCHESTRATOR_DOCKER_PROXY"] = str(path)
    command = [sys.executable, "-m", "orchestrator.cli", "run", "docker-proxy"]
    with (
        log.open("wb") as reported,
        subprocess.Popen(command, env=given, stderr=reported) as process,
    ):
        try:
            eventually(lambda: b"listening" in log.read_bytes())
            yield Asking(path, log)
        finally:
            process.terminate()
    assert process.returncode == 0, log.read_text()


@pytest.fixture
def root(home: Path, agent_id: str) -> Path:
    made = home / "workspaces" / agent_id
    made.mkdir(parents=True, mode=0o700)
    return made


@pytest.fixture
def sandbox(ask: Asking, home: Path) -> DockerSandbox:
    """The docker sandbox, which knows the filter alone."""
    return DockerSandbox(settings_at(home, **LIMITS, DOCKER_SOCKET=str(ask.path)))


@pytest.fixture
def asked(home: Path, root: Path, agent_id: str) -> dict[str, Any]:
    """What the sandbox asks for a container, and may be spoiled."""
    lent = home / "containers" / "c" / "inside"
    lent.mkdir(parents=True)
    return {
        "User": "10001:10001", "Tty": False, "OpenStdin": False, "StdinOnce": False,
        "AttachStdin": False, "AttachStdout": True, "AttachStderr": True,
        "Cmd": ["true"], "Entrypoint": ["/bin/sh"], "Image": BASE, "NetworkDisabled": False,
        "WorkingDir": "/", "StopSignal": "SIGKILL", "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "Memory": 64 * 2**20, "MemorySwap": 64 * 2**20, "IpcMode": "private",
            "ReadonlyRootfs": True, "NetworkMode": "none", "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"], "LogConfig": {"Type": "none", "Config": {}},
            "CpuQuota": 200000, "CpuPeriod": 100000, "PidsLimit": 64,
            "OomScoreAdj": 500,
            "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=512m,mode=1777"},
            "Mounts": [
                {"Target": str(root), "Source": str(root), "Type": "bind", "ReadOnly": False},
                {"Target": "/lent", "Source": str(lent), "Type": "bind", "ReadOnly": True},
            ],
        },
        "Labels": {
            "orchestrator.agent": agent_id, "orchestrator.attempt": "1",
            "orchestrator.host": "h", "orchestrator.system": system_label(home),
        },
    }  # fmt: skip


@pytest.fixture
def others() -> Iterator[str]:
    """A container that is not ours; its id."""
    client = docker.DockerClient(f"unix://{SOCKET}")
    made = client.containers.create(BASE, ["sleep", "100"], network_mode="none")
    yield made.id
    made.remove(force=True)
    client.close()
