"""A repository names its image: everything of it runs there, or one error says what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestrator.environments.images import find_image, probe
from orchestrator.errors import BackendUnavailable, EnvironmentFailed
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.docker import DockerSandbox
from tests.integration.conftest import make_remote, running
from tests.sandbox.conftest import IMAGE, SOCKET, settings_at
from tests.sandbox.images import bare, engine, variant

TOOL = {"usr/local/bin/only-here": b"#!/bin/sh\necho made by the image\n"}
ENV = ("ENV COLOUR=blue", "ENV PATH=/opt/own:/usr/local/bin:/usr/bin:/bin", "VOLUME /data")
SEEN = 'test "$COLOUR" = blue && only-here && case $PATH in */opt/own*) ;; *) false;; esac'


def in_docker(home: Path, **environ: str) -> DockerSandbox:
    return DockerSandbox(settings_at(home, SANDBOX_ENABLED="true", **environ))


def test_set_up_hooks_agent_and_gates_run_in_the_image_of_the_base(tmp_path, home, left):
    with variant(*ENV, files=TOOL) as image:
        config = (
            f'[environment]\nimage = "{image}"\nsetup = "only-here > made"\n'
            f"[hooks]\nbefore_run = '{SEEN}'\n"
            f"[gates]\ntests = '{SEEN} && grep made made && python3 -m unittest'\n"
        )
        test = "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\n"
        remote = make_remote(tmp_path, {"orchestrator.toml": config, "test_a.py": test})
        own = {"ORCHESTRATOR_SANDBOX_IMAGE": IMAGE} if IMAGE else {}
        with running(
            home,
            ORCHESTRATOR_AGENT="scripted",
            SANDBOX_ENABLED="true",
            DOCKER_SOCKET=SOCKET,
            ORCHESTRATOR_ALLOWED_IMAGES="variant-*",
            **own,
        ) as system:
            steps = [{"run": f"{SEEN} > work"}, {"run": "! touch /data/x"}]
            work = yaml.safe_dump({"steps": steps})
            agent_id = system.spawn(remote, work, gate_profile="minimal")
            outcome = system.wait(agent_id)
            assert outcome["status"] == "completed", (
                outcome,
                system.orch("gates", agent_id).stdout,
            )
            assert left() == []


def test_a_program_uses_the_image_that_its_run_found(home, spec, left):
    """Not another one that got the name since; also if the first has no name any more."""
    sandbox = in_docker(home)
    with variant(files=TOOL) as name:
        found = sandbox.find_image(name)
        with engine() as client:
            made = client.create_container(settings_at(home).sandbox_image, ["true"])
            client.commit(made, *name.split(":"), message="another")
            client.remove_container(made)
        assert sandbox.find_image(name).digest != found.digest
        asked = replace(spec, argv=("only-here",), image=found)
        ended = run_to_end(sandbox, asked, timeout_s=60, output_limit_bytes=2**16)
        assert ended.stdout == b"made by the image\n"
        with engine() as client:
            client.remove_image(found.digest)


def test_an_image_that_cannot_be_used_is_one_error_with_what_to_do(home, root, spec, left):
    settings = settings_at(home, SANDBOX_ENABLED="true", ORCHESTRATOR_ALLOWED_IMAGES="bare-*")
    sandbox = DockerSandbox(settings)
    with pytest.raises(EnvironmentFailed, match=r"does not have the image bare-x.*docker pull bare"):
        find_image("bare-x", settings, sandbox)
    with bare("s390x") as name, pytest.raises(EnvironmentFailed, match="is for linux/s390x, and"):
        find_image(name, settings, sandbox)
    (root / "tree").mkdir()
    with bare() as name:
        environment = Environment(root=root, image=find_image(name, settings, sandbox))
        with pytest.raises(EnvironmentFailed, match=rf"{name} of the repository.*/bin/sh.*Pull or"):
            probe(sandbox, environment, (spec.agent_id, 1), lambda: None)
    own = sandbox.find_image(settings.sandbox_image)
    lacking = replace(spec, argv=("no-such-agent",), image=own)
    with pytest.raises(BackendUnavailable, match=r"no-such-agent: No such file.*and this program"):
        sandbox.start(lacking).__enter__()
    assert left() == []


@pytest.mark.parametrize("given", [{"SANDBOX_ENABLED": "true"}, {"SANDBOX_ENABLED": "false"}])
def test_what_the_operator_does_not_allow_is_refused_without_an_engine(home, tmp_path, given):
    settings = settings_at(home, DOCKER_SOCKET=str(tmp_path / "none"), **given)
    setting = "ORCHESTRATOR_ALLOWED_IMAGES" if given["SANDBOX_ENABLED"] == "true" else "SANDBOX_EN"
    with pytest.raises(EnvironmentFailed, match=rf"other:1.*{setting}"):
        find_image("other:1", settings, DockerSandbox(settings))
