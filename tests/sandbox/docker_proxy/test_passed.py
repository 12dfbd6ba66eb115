"""The Docker sandbox works through the proxy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker

from orchestrator.host.processes import system_label
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.docker import DockerSandbox
from tests.sandbox.conftest import SOCKET
from tests.sandbox.docker_proxy.conftest import BASE, Asking


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
