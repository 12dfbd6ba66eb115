"""The proxy refuses every request that the sandboxes do not make."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.docker_proxy.conftest import BASE, connected


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
    "a worker before it when memory runs out": _set("HostConfig.OomScoreAdj", -500),
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
