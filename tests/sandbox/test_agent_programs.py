"""Each real agent program, in Docker behind the egress proxy; only its provider is a double.

The image is that of `make agents-image`. CI plays one situation with each program; `AGENTS=all`
(`make soak`) plays all.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.interfaces.run import run_to_end
from orchestrator.sandboxes.docker import DockerSandbox
from tests.integration.agents import situations
from tests.integration.agents.clients import ACP, CLIENTS, CODEX, GEMINI, OPENCODE, Client, params
from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.delivery.lab import Lab
from tests.sandbox.conftest import SOCKET, settings_at

IMAGE = "orchestrator-agents:local"
SITUATIONS = (situations.mended, situations.limited, situations.killed, situations.spent)
SAMPLE_OF_CI = (
    (CODEX, situations.mended),
    (GEMINI, situations.limited),
    (OPENCODE, situations.killed),
    (ACP, situations.spent),
)
ALL = tuple((client, one) for client in CLIENTS for one in SITUATIONS)
PLAYED = ALL if os.environ.get("AGENTS") == "all" else SAMPLE_OF_CI


@pytest.fixture
def lab(tmp_path: Path, valkey_url: str, left: object) -> situations.MakeLab:
    """Make a lab whose agents run in containers; what a failed test leaves is removed."""

    def make(client: Client, url: str, **more: str) -> Lab:
        return Lab(
            tmp_path,
            valkey_url,
            ORCHESTRATOR_AGENT=client.backend,
            SANDBOX_ENABLED="true",
            ORCHESTRATOR_SANDBOX_IMAGE=IMAGE,
            DOCKER_SOCKET=SOCKET,
            **client.settings(url),
            **more,
        )

    return make


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the labs, by which their containers are found."""
    return tmp_path / "host"


@pytest.mark.parametrize(
    ("client", "situation"),
    [
        pytest.param(*one.values, situation, id=f"{one.id}-{situation.__name__}", marks=one.marks)
        for client, situation in PLAYED
        for one in params((client,))
    ],
)
def test_a_program_in_a_container_is_mended_limited_killed_and_spends(
    client, situation, lab, tmp_path
):
    situation(client, lab, make_remote(tmp_path, SAMPLE), "docker")


@pytest.mark.parametrize("program", [client.program for client in CLIENTS])
def test_the_image_has_each_program(home, left, spec, program):
    """Gemini CLI and the ACP agent also need its Node.js."""
    del left
    sandbox = DockerSandbox(settings_at(home, ORCHESTRATOR_SANDBOX_IMAGE=IMAGE))
    probe = replace(spec, argv=("sh", "-c", f"test -x $(command -v {program}) && node --version"))
    ran = run_to_end(sandbox, probe, timeout_s=240, output_limit_bytes=2**20)
    assert ran.exit_code == 0, ran
    assert int(ran.stdout.removeprefix(b"v").split(b".")[0]) >= 20
