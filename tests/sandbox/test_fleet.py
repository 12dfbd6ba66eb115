"""Whole agents in containers: from spawn to a pushed branch, and through the loss of an engine."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestrator.sandboxes.docker import DockerSandbox
from tests.integration.conftest import SAMPLE, git, make_remote, running
from tests.processes import Observer, eventually, marked
from tests.sandbox.conftest import IMAGE, SOCKET, settings_at

AGENTS = 5
#: Small, and all that a scripted agent needs; the sandbox's own image is made from it.
BASE = "orchestrator-base:local"


class Engine:
    """A Docker engine of the test's own, which may be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.socket = folder / "docker.sock"
        # Not below the engine: it must outlive that, as where systemd starts both.
        self._containerd_socket = folder / "containerd.sock"
        self._containerd = self._run(
            "containerd", f"--address={self._containerd_socket}", f"--root={folder}/images",
            f"--state={folder}/state", "--config=/dev/null",
        )  # fmt: skip
        eventually(self._containerd_socket.exists)
        self.start()

    def start(self) -> None:
        self._engine = self._run(
            "dockerd", f"--host=unix://{self.socket}", f"--containerd={self._containerd_socket}",
            f"--data-root={self._folder}/data", f"--exec-root={self._folder}/exec",
            f"--pidfile={self._folder}/pid", "--bridge=none", "--iptables=false",
            "--ip6tables=false",
        )  # fmt: skip
        eventually(lambda: self.ask("version").returncode == 0)

    def signal(self, number: signal.Signals) -> None:
        self._engine.send_signal(number)

    def kill(self) -> None:
        self._engine.kill()
        self._engine.wait()

    def end(self) -> None:
        for container in self.ask("ps", "-aq").stdout.decode().split():
            self.ask("rm", "--force", container)
        for process in (self._engine, self._containerd):
            process.terminate()
            process.wait()
        # It mounts its folder on itself.
        subprocess.run(["umount", f"{self._folder}/data"], check=False, capture_output=True)
        shutil.rmtree(self._folder)

    def ask(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        command = ["docker", "--host", f"unix://{self.socket}", *arguments]
        return subprocess.run(command, capture_output=True, check=False, timeout=300, **options)

    def _run(self, *argv: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def engine():
    # Short, because sockets' paths must be.
    made = Engine(Path(tempfile.mkdtemp(prefix="engine-", dir="/run")))
    try:
        with subprocess.Popen(["docker", "save", BASE], stdout=subprocess.PIPE) as saved:
            assert made.ask("load", stdin=saved.stdout).returncode == 0
        yield made
    finally:
        made.end()


def script(*steps):
    return yaml.safe_dump({"steps": list(steps)})


def agents_of(system):
    with urllib.request.urlopen(f"{system.api}/agents?limit=100") as answer:
        return json.load(answer)["agents"]


def test_an_agent_works_is_judged_and_delivered_in_containers(tmp_path, home, left):
    """Its gates too, with the tools of the image; who needs too much fails with the limit named."""
    files = SAMPLE | {"orchestrator.toml": '[hooks]\nafter_create = "id -u > ../tmp/uid"\n'}
    files["pyproject.toml"] = (
        "[tool.orchestrator.gates]\n"
        'tests = "test $(id -u) = 10001 && test ! -e /var/run/docker.sock && python3 -m unittest"\n'
    )
    remote = make_remote(tmp_path, files)
    with running(
        home,
        ORCHESTRATOR_AGENT="scripted",
        SANDBOX_ENABLED="true",
        DOCKER_SOCKET=SOCKET,
        ORCHESTRATOR_SANDBOX_MEMORY="256MiB",
        ORCHESTRATOR_BACKENDS__COMMAND__ARGV='["sh", "-c", "exec tail /dev/zero"]',
        **({"ORCHESTRATOR_SANDBOX_IMAGE": IMAGE} if IMAGE else {}),
    ) as system:
        agent_id = system.spawn(remote, script({"write": {"path": "new.py", "content": "N = 1\n"}}))
        greedy = system.wait(system.spawn(remote, "Eat.", agent="command"))
        assert greedy["status"] == "failed"
        assert "256" in greedy["error"]
        assert "ORCHESTRATOR_SANDBOX_MEMORY" in greedy["error"]
        outcome = system.wait(agent_id)
        assert outcome["status"] == "completed", outcome
        assert git("show", f"agent/{agent_id}:new.py", cwd=remote) == "N = 1"
        assert left() == []


def test_a_kill_needs_no_engine_that_answers(engine, home, spec):
    own = {"DOCKER_SOCKET": str(engine.socket), "ORCHESTRATOR_SANDBOX_IMAGE": BASE}
    argv = ("sh", "-c", "setsid sleep 999 & echo ready; sleep 999")
    with DockerSandbox(settings_at(home, **own)).start(replace(spec, argv=argv)) as process:
        assert process.read(30)
        observer = Observer()
        observer.record(*marked(spec.agent_id))
        assert len(observer.alive()) >= 3
        engine.signal(signal.SIGSTOP)
        try:
            process.kill()
            assert process.has_ended_itself
            assert not observer.alive()
        finally:
            engine.signal(signal.SIGCONT)
    eventually(lambda: engine.ask("ps", "-aq").stdout == b"")


def test_an_engine_killed_and_restarted_under_five_agents(tmp_path, engine):
    """Each is taken for lost and goes on; nothing is doubled, and nothing is left."""
    remote = make_remote(tmp_path, SAMPLE)
    with running(
        tmp_path / "home",
        ORCHESTRATOR_AGENT="scripted",
        SANDBOX_ENABLED="true",
        DOCKER_SOCKET=str(engine.socket),
        ORCHESTRATOR_SANDBOX_IMAGE=BASE,
    ) as system:
        agents = [
            system.spawn(
                remote,
                script({"write": {"path": f"new{n}.py", "content": f"N = {n}\n"}}, {"sleep": 15}),
            )
            for n in range(AGENTS)
        ]
        eventually(lambda: [one["status"] for one in agents_of(system)] == ["running"] * AGENTS)
        engine.kill()
        engine.start()
        outcomes = [system.wait(agent_id) for agent_id in agents]
        assert [one["status"] for one in outcomes] == ["completed"] * AGENTS, outcomes
        assert all(one["attempt"] > 1 for one in agents_of(system))
        branches = git("for-each-ref", "--format=%(refname:short)", "refs/heads/agent", cwd=remote)
        assert sorted(branches.split()) == sorted(f"agent/{one}" for one in agents)
        eventually(lambda: engine.ask("ps", "-aq").stdout == b"")
