"""An image that this host does not use is refused before a set-up, and never ignored."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli.commands.gates import gates
from orchestrator.environments.service import Borrower
from orchestrator.errors import EnvironmentFailed
from orchestrator.settings import Settings, load_settings
from orchestrator.wiring import host as wiring_host
from orchestrator.wiring import worker as wiring

CONFIG = '[environment]\nimage = "ci.example.org/base:1"\n[gates]\ntests = "true"\n'
#: The environment of this host, and the setting that its refusal names.
HOSTS = [
    ({}, "SANDBOX_ENABLED"),
    ({"ORCHESTRATOR_ENVIRONMENTS": "off"}, "SANDBOX_ENABLED"),
    ({"SANDBOX_ENABLED": "true"}, "ORCHESTRATOR_ALLOWED_IMAGES"),
    (
        {"SANDBOX_ENABLED": "true", "ORCHESTRATOR_ALLOWED_IMAGES": "ci.example.org/other"},
        "ORCHESTRATOR_ALLOWED_IMAGES",
    ),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "orchestrator.toml").write_text(CONFIG)
    for command in ("init -q -b main", "add -A", "commit -q -m x"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return folder


def settings_of(tmp_path: Path, given: dict[str, str]) -> Settings:
    socket = {"DOCKER_SOCKET": str(tmp_path / "none")}
    return load_settings({"ORCHESTRATOR_HOME": str(tmp_path / "home"), **socket, **given})


@pytest.mark.parametrize(("given", "setting"), HOSTS)
def test_an_agent_of_such_a_base_is_not_started(checkout, tmp_path, given, setting):
    settings = settings_of(tmp_path, given)
    base = wiring.mirrors(settings).refresh(str(checkout), "main")
    environments = wiring_host.environments(settings, wiring_host.sandbox(settings))
    lent = environments.held(base, Borrower("a", 1, check=lambda: None))
    with pytest.raises(EnvironmentFailed, match=f"ci.example.org/base:1.*{setting}"), lent:
        pass
    assert not list((tmp_path / "home").glob("environments/*/tree"))


@pytest.mark.parametrize(("given", "setting"), HOSTS[1:3])
def test_the_plan_says_so(checkout, tmp_path, monkeypatch, given, setting):
    settings = settings_of(tmp_path, given)
    monkeypatch.chdir(checkout)
    arguments = ["plan", "--profile=minimal"]
    ran = CliRunner().invoke(gates, [*arguments, "--json"], obj=settings)
    document = json.loads(ran.stdout)
    assert (ran.exit_code, document["approvable"]) == (3, False)
    assert document["image"] == "ci.example.org/base:1"
    assert setting in document["environmentError"]
    text = CliRunner().invoke(gates, arguments, obj=settings).stdout
    assert "image ci.example.org/base:1\n" in text
    assert f"for the environment: {document['environmentError']}" in text
