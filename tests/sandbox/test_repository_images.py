"""A repository names its image: everything of it runs there, or one error says what to do."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from orchestrator.cli.local.gate_plans import plan_of
from orchestrator.cli.local.trial import trial
from orchestrator.environments.images import find_image, probe
from orchestrator.errors import BackendUnavailable, EnvironmentFailed
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.run import run_to_end
from orchestrator.models import GateProfile
from orchestrator.sandboxes.docker import DockerSandbox
from orchestrator.settings import Settings
from orchestrator.stages.spawn.context import ProgramContext
from orchestrator.wiring import worker as wiring
from orchestrator.workspace.worktree import Workspace
from tests.integration.conftest import make_remote, running
from tests.sandbox.conftest import IMAGE, SOCKET, settings_at
from tests.sandbox.images import bare, engine, variant

TOOL = {"data/": b"", "usr/local/bin/only-here": b"#!/bin/sh\necho made by the image\n"}
ENV = ("ENV COLOUR=blue", "ENV PATH=/opt/own:/usr/local/bin:/usr/bin:/bin", "VOLUME /data")
SEEN = 'test "$COLOUR" = blue && only-here && case $PATH in */opt/own*) ;; *) false;; esac'

SET_UP = "only-here > made; ! touch /data/x"


def in_docker(home: Path, **environ: str) -> DockerSandbox:
    return DockerSandbox(settings_at(home, SANDBOX_ENABLED="true", **environ))


#: `IMAGES=all` spawns an agent too.
WAYS = ["trial", "agent"] if os.environ.get("IMAGES") == "all" else ["trial"]


@pytest.mark.parametrize("way", WAYS)
def test_what_runs_for_a_repository_runs_in_the_image_of_its_base(tmp_path, home, left, way):
    with variant(*ENV, files=TOOL) as image:
        config = (
            f'[environment]\nimage = "{image}"\nsetup = "{SET_UP}"\n'
            f"[hooks]\nbefore_run = '{SEEN}'\n"
            f"[gates]\ntests = '{SEEN} && grep made made'\n"
        )
        remote = make_remote(tmp_path, {"orchestrator.toml": config})
        given = {"SANDBOX_ENABLED": "true", "ORCHESTRATOR_ALLOWED_IMAGES": "variant-*"}
        if way == "trial":
            _try(settings_at(home, PATH=os.environ["PATH"], **given), str(remote))
        else:
            _spawn(home, remote, given)
        assert left() == []


def _try(settings: Settings, remote: str) -> None:
    """Set the environment up and run its gates, as both pools do; look at the other programs."""
    mirrors = wiring.mirrors(settings)
    base = mirrors.refresh(remote, "main")
    read = partial(mirrors.read, base)
    plan = plan_of(settings, GateProfile.MINIMAL, (), read, mirrors.paths(base))
    with trial(settings, plan, base, runs=True, say=lambda _: None) as tried:
        assert tried.lack == ""
        (gate,) = tried.gates(settings, on_start=lambda _: None)
        assert gate.has_passed, gate
        environment = tried.case.environment
    agent = SimpleNamespace(agent_id="a", attempt=1)
    workspace = Workspace(settings.home)
    programs = ProgramContext(settings, agent, workspace, base, environment=environment)
    assert programs.program(("x",)).image == environment.image
    # The capture of a change uses the operator's image, which has what it needs.
    assert replace(programs, environment=None).program(("x",)).image is None


def _spawn(home: Path, remote: Path, given: dict[str, str]) -> None:
    own = {"ORCHESTRATOR_SANDBOX_IMAGE": IMAGE} if IMAGE else {}
    with running(
        home, ORCHESTRATOR_AGENT="scripted", DOCKER_SOCKET=SOCKET, **given, **own
    ) as system:
        steps = [{"run": f"{SEEN} > work"}, {"run": "! touch /data/x"}]
        agent_id = system.spawn(remote, yaml.safe_dump({"steps": steps}))
        outcome = system.wait(agent_id)
        assert outcome["status"] == "completed", outcome


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
        ended = run_to_end(sandbox, asked, timeout_s=240, output_limit_bytes=2**16)
        assert ended.stdout == b"made by the image\n"
        with engine() as client:
            client.remove_image(found.digest)


def test_an_image_that_cannot_be_used_is_one_error_with_what_to_do(home, root, spec, left):
    settings = settings_at(home, SANDBOX_ENABLED="true", ORCHESTRATOR_ALLOWED_IMAGES="bare-*")
    sandbox = DockerSandbox(settings)
    with pytest.raises(EnvironmentFailed, match=r"does not have .* bare-x\..*docker pull bare"):
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
