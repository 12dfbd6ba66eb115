"""The filter before the engine's socket: the docker sandbox works through it, and nothing else."""

from __future__ import annotations

import copy
import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.host.processes import system_label
from orchestrator.interfaces.sandbox import ProcessSpec
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
        "WorkingDir": "/", "StopSignal": "SIGKILL",
        "HostConfig": {
            "Memory": 64 * 2**20, "MemorySwap": 64 * 2**20, "IpcMode": "private",
            "ReadonlyRootfs": True, "NetworkMode": "none", "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"], "LogConfig": {"Type": "none", "Config": {}},
            "CpuQuota": 200000, "CpuPeriod": 100000, "PidsLimit": 64,
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


# ── what passes ─────────────────────────────────────────────────────────────────────────────


def test_the_sandbox_runs_kills_measures_and_sweeps_through_it(
    ask: Asking, sandbox: DockerSandbox, spec: ProcessSpec, inside: Callable[..., Any],
    root: Path, home: Path, left: Callable[[], list[str]], agent_id: str,
) -> None:  # fmt: skip
    assert BASE in sandbox.check()
    large = "head -c 300000 /dev/zero; head -c 100000 /dev/zero >&2; cat > here; exit 7"
    done = inside("sh", "-c", large, stdin=b"in")
    assert (len(done.stdout), len(done.stderr), done.exit_code) == (300_000, 100_000, 7)
    assert (root / "here").read_text() == "in"

    with sandbox.start(replace(spec, argv=("sleep", "1000"))) as process:
        stats = f"/containers/{process._id}/stats?stream=False&one-shot=True"
        assert ask("GET", stats)[0] == 200
        process.kill()
        while process.exit_code is None:
            process.read(5)
        assert process.exit_code == -9

    client = docker.DockerClient(f"unix://{SOCKET}")
    orphan = client.containers.create(
        BASE, ["sleep", "100"], network_mode="none",
        labels={"orchestrator.system": system_label(home), "orchestrator.agent": agent_id},
    )  # fmt: skip
    orphan.start()
    client.close()
    assert list(sandbox.orphans()) == [agent_id]
    assert sandbox.end_orphans() == {agent_id}
    assert left() == []
    assert ask.refusals() == 0


def test_a_container_like_the_sandboxes_may_be_created_and_what_is_gone_is_told(ask, asked):
    name = f"{asked['Labels']['orchestrator.agent']}.1.x"
    assert ask("POST", f"/v1.41/containers/create?name={name}", asked)[0] == 201
    remove = f"/containers/{name}?v=True&link=False&force=True"
    assert ask("DELETE", remove)[0] == 204
    assert ask("DELETE", remove)[0] == 404
    assert ask.refusals() == 0


# ── what does not ───────────────────────────────────────────────────────────────────────────


def _set(path: str, value: object) -> Callable[[dict[str, Any], Path], None]:
    *parents, last = path.split(".")

    def spoil(body: dict[str, Any], _home: Path) -> None:
        for name in parents:
            body = body[name]
        body[last] = value

    return spoil


def _mount(source: str, **changes: object) -> Callable[[dict[str, Any], Path], None]:
    def spoil(body: dict[str, Any], home: Path) -> None:
        path = source.replace("HOME", str(home))
        mount = {"Target": "/m", "Source": path, "Type": "bind", "ReadOnly": True, **changes}
        body["HostConfig"]["Mounts"].append(mount)

    return spoil


def _label(name: str, value: str) -> Callable[[dict[str, Any], Path], None]:
    def spoil(body: dict[str, Any], _home: Path) -> None:
        body["Labels"][name] = value

    return spoil


FORBIDDEN = {
    "privileged": _set("HostConfig.Privileged", True),
    "privileged, in the engine's other spelling": _set("HostConfig.privileged", True),
    "the host's network": _set("HostConfig.NetworkMode", "host"),
    "another's network": _set("HostConfig.NetworkMode", "container:x"),
    "the host's processes": _set("HostConfig.PidMode", "host"),
    "the host's memory": _set("HostConfig.IpcMode", "host"),
    "the host's name": _set("HostConfig.UTSMode", "host"),
    "the host's users": _set("HostConfig.UsernsMode", "host"),
    "a capability": _set("HostConfig.CapAdd", ["SYS_ADMIN"]),
    "fewer capabilities dropped": _set("HostConfig.CapDrop", ["NET_RAW"]),
    "none dropped": _set("HostConfig.CapDrop", []),
    "no seccomp": _set("HostConfig.SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
    "new privileges": _set("HostConfig.SecurityOpt", []),
    "a device": _set("HostConfig.Devices", [{"PathOnHost": "/dev/sda"}]),
    "a rule for devices": _set("HostConfig.DeviceCgroupRules", ["a *:* rwm"]),
    "another runtime": _set("HostConfig.Runtime", "other"),
    "a control group": _set("HostConfig.CgroupParent", "/"),
    "a root that can be written": _set("HostConfig.ReadonlyRootfs", False),
    "volumes of another": _set("HostConfig.VolumesFrom", ["x"]),
    "a bind": _set("HostConfig.Binds", ["/:/host"]),
    "no limit of memory": _set("HostConfig.Memory", 0),
    "more memory": _set("HostConfig.Memory", 2**30),
    "swap": _set("HostConfig.MemorySwap", -1),
    "more processes": _set("HostConfig.PidsLimit", 65),
    "any number of processes": _set("HostConfig.PidsLimit", -1),
    "more processor": _set("HostConfig.CpuQuota", 200001),
    "a restart": _set("HostConfig.RestartPolicy", {"Name": "always"}),
    "a tmpfs with programs": _set("HostConfig.Tmpfs", {"/tmp": "exec"}),
    "another image": _set("Image", "orchestrator-base:local"),
    "root": _set("User", "0:0"),
    "root by overflow": _set("User", "4294967296:1"),
    "the image's user": _set("User", ""),
    "no such field": _set("Volumes", {"/x": {}}),
    "a health check": _set("Healthcheck", {"Test": ["CMD", "true"]}),
    "another system's label": _label("orchestrator.system", "x"),
    "another agent's label": _label("orchestrator.agent", "a"),
    "one label more": _label("com.example", "x"),
    "the root of the host": _mount("/"),
    "a folder of the host": _mount("/etc"),
    "the engine's socket": _mount("/var/run/docker.sock"),
    "a folder beyond": _mount("HOME/workspaces/../../../../etc"),
    "a link that leads out": _mount("HOME/workspaces/link"),
    "a link to what may be lent": _mount("HOME/workspaces/inner"),
    "what lies behind a link": _mount("HOME/workspaces/link/ssl"),
    "every workspace": _mount("HOME/workspaces", ReadOnly=False),
    "the home": _mount("HOME"),
    "what is only lent": _mount("HOME/containers/c/inside", ReadOnly=False),
    "what is not there": _mount("HOME/workspaces/none"),
    "a propagation": _mount("HOME/containers/c", BindOptions={"Propagation": "shared"}),
    "a volume": _mount("x", Type="volume"),
    "a volume that is a bind": _mount(
        "x", Type="volume", VolumeOptions={"DriverConfig": {"Name": "local"}}
    ),
}


def test_a_container_with_more_rights_is_refused_whatever_is_asked(ask, asked, home, left):
    """One by one, each is all that differs from one that may be created."""
    (home / "workspaces" / "link").symlink_to("/etc")
    (home / "workspaces" / "inner").symlink_to(home / "containers" / "c")
    name = f"{asked['Labels']['orchestrator.agent']}.1.x"
    passed = []
    for what, spoil in FORBIDDEN.items():
        body = copy.deepcopy(asked)
        spoil(body, home)
        status, message = ask("POST", f"/containers/create?name={name}", body)
        if status != 403 or not message.startswith("Engine filter:"):
            passed.append((what, status, message))
    assert passed == []
    assert ask("POST", "/containers/create?name=another", asked)[0] == 403
    assert ask("POST", "/containers/create", asked)[0] == 403
    assert left() == []
    assert ask.refusals() == len(FORBIDDEN) + 2


def test_a_source_that_became_a_link_is_not_started(ask, asked, root):
    name = f"{asked['Labels']['orchestrator.agent']}.1.x"
    assert ask("POST", f"/containers/create?name={name}", asked)[0] == 201
    root.rmdir()
    root.symlink_to("/etc")
    assert ask("POST", f"/containers/{name}/start")[0] == 403


@pytest.mark.parametrize(
    "call",
    [
        "GET {}/json", "POST {}/start", "POST {}/kill", "POST {}/wait",
        "GET {}/stats?stream=False&one-shot=True", "POST {}/attach?stdout=1&stderr=1&stream=1",
        "DELETE {}?v=True&link=False&force=True",
    ],
)  # fmt: skip
def test_containers_of_others_are_left_alone(ask, others, call):
    """Even by calls that are the sandbox's, as it makes them."""
    for name in (others, others[:12]):
        method, _, target = call.format(f"/containers/{name}").partition(" ")
        assert ask(method, target) == (
            403, f"Engine filter: container {name} is not of this system",
        )  # fmt: skip
    assert ask.refusals() == 2


def test_calls_that_are_not_the_sandboxes_are_refused(ask, asked, home):
    name = f"{asked['Labels']['orchestrator.agent']}.1.x"
    assert ask("POST", f"/containers/create?name={name}", asked)[0] == 201
    ours = f"/containers/{name}"
    calls = [
        f"POST {ours}/exec", f"POST {ours}/update", f"POST {ours}/stop", f"POST {ours}/restart",
        f"POST {ours}/rename?name=x", f"GET {ours}/logs?stdout=1", f"GET {ours}/archive?path=/",
        f"PUT {ours}/archive?path=/", f"GET {ours}/export", f"POST {ours}/kill?signal=HUP",
        f"POST {ours}/attach?stdin=1&stream=1", f"POST {ours}/attach/ws", f"GET {ours}/top",
        f"POST {ours}/../{name}/exec", f"POST {ours}%2Fexec", f"POST {ours}//start",
        "POST /exec/x/start", "POST /build", "POST /images/create?fromImage=x", "POST /images/load",
        f"DELETE /images/{BASE}", "GET /images/json", "GET /images/other/json",
        f"GET /images/{BASE}/get",
        "POST /commit?container=x", "GET /volumes", "POST /volumes/create", "DELETE /volumes/x",
        "GET /networks", "POST /networks/create", "POST /swarm/init", "GET /services",
        "GET /plugins",
        "GET /secrets", "GET /info", "GET /events", "POST /auth", "POST /session", "POST /grpc",
        "GET /system/df", "POST /containers/prune", "OPTIONS *", "GET /",
        "GET /containers/json", "GET /containers/json?all=1",
        "GET /containers/json?limit=-1&all=1&size=0&trunc_cmd=0&filters=%7B%7D",
    ]  # fmt: skip
    answers = {call: ask(*call.split(" "))[0] for call in calls}
    assert [call for call, status in answers.items() if status != 403] == []
    assert ask.refusals() == len(calls)


def test_what_is_no_request_is_refused_and_nothing_behind_one_is_read(ask):
    head = b"POST /containers/create?name=x HTTP/1.1\r\nHost: x\r\n"
    for spoiled, status in {
        b"\0\1\2 nothing\r\n\r\n": b"400",
        b"GET /_ping HTTP/1.1\r\nX: " + b"x" * 100_000: b"431",
        head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}": b"400",
        head + b"Content-Length: 4\r\n\r\n{{{{": b"403",
        head + b"Content-Length: 20000\r\n\r\n" + b"[" * 20_000: b"403",
        head + b"Content-Length: 5000000\r\n\r\n" + b" " * 5_000_000: b"413",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx": b"403",
    }.items():
        assert ask.raw(spoiled).split()[1] == status, spoiled[:90]
    ping = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(ask.path) as client:
        client.sendall(ping + b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1
