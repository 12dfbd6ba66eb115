"""The proxy passes the images that repositories may name, and the folders of environments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec, SandboxImage
from orchestrator.sandboxes.docker import DockerSandbox
from tests.processes import eventually
from tests.sandbox.conftest import SOCKET, settings_at
from tests.sandbox.docker_proxy.conftest import LIMITS
from tests.sandbox.images import bare, engine, variant


@pytest.fixture
def through(home: Path, left: object, tmp_path: Path) -> Iterator[Callable[[], DockerSandbox]]:
    """A sandbox behind a proxy that allows variants."""
    path = tmp_path / "proxy"
    given = {"ORCHESTRATOR_ALLOWED_IMAGES": "variant-*", **LIMITS}
    (home / "bin").mkdir(parents=True)
    env = {
        "PATH": os.environ["PATH"],
        "ORCHESTRATOR_HOME": str(home),
        "DOCKER_SOCKET": SOCKET,
        "ORCHESTRATOR_DOCKER_PROXY": str(path),
        **given,
    }
    command = [sys.executable, "-m", "orchestrator.docker_proxy", str(path)]
    with subprocess.Popen(command, env=env, cwd=tmp_path) as proxy:
        try:
            eventually(path.exists)
            yield lambda: DockerSandbox(settings_at(home, **given, DOCKER_SOCKET=str(path)))
        finally:
            proxy.terminate()


def test_an_allowed_image_runs_a_set_up_also_after_its_name_is_gone(through, home, spec):
    sandbox = through()
    root = home / "environments" / "e"
    (root / "tree").mkdir(parents=True)

    def ends(image: SandboxImage, **changes: object) -> int:
        asked = replace(spec, image=image, **changes)
        return run_to_end(sandbox, asked, timeout_s=240, output_limit_bytes=2**16).exit_code

    with variant("VOLUME /data") as name:
        found = sandbox.find_image(name)
        inside = {"argv": ("sh", "-c", "touch made; ! touch /data/x"), "cwd": root / "tree"}
        assert ends(found, **inside, root=root) == 0
        assert (root / "tree" / "made").exists()
        with engine() as client:
            client.tag(name, "kept-by-this-test", "x")
            client.remove_image(name)
        try:
            assert ends(found) == 0
        finally:
            with engine() as client:
                client.tag("kept-by-this-test:x", *name.split(":"))
                client.remove_image("kept-by-this-test:x")


def test_another_image_is_neither_described_nor_run(through, spec: ProcessSpec):
    sandbox = through()
    with bare() as name:
        with pytest.raises(
            BackendUnavailable, match=r"none of the sandbox.*ORCHESTRATOR_ALLOWED_IMAGES"
        ):
            sandbox.find_image(name)
        with engine() as client:
            digest = client.inspect_image(name)["Id"]
        forged = replace(spec, image=SandboxImage(name, digest))
        with pytest.raises(BackendUnavailable, match=rf"{name}\) is not allowed"):
            sandbox.start(forged).__enter__()
