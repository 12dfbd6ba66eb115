"""Each real agent program, in bubblewrap behind the egress proxy; only its provider is a double."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.agents import situations
from tests.integration.agents.clients import CLIENTS, SOME, Client, params
from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.delivery.lab import Lab

OTHERS = (situations.limited, situations.killed, situations.spent)


@pytest.fixture
def lab(tmp_path: Path, valkey_url: str) -> situations.MakeLab:
    """Make a lab whose agents reach nothing but the double of their provider."""

    def make(client: Client, url: str, **more: str) -> Lab:
        return Lab(
            tmp_path,
            valkey_url,
            ORCHESTRATOR_AGENT=client.backend,
            ORCHESTRATOR_SANDBOX_NETWORK="proxy",
            **client.settings(url),
            **more,
        )

    return make


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path, SAMPLE)


@pytest.mark.parametrize("client", params(CLIENTS))
def test_a_rejected_change_is_mended_in_the_same_session_and_pushed(client, lab, remote):
    situations.mended(client, lab, remote, "bubblewrap")


@pytest.mark.parametrize("situation", OTHERS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("client", params(SOME))
def test_it_is_stopped_and_waits_as_any_agent(client, situation, lab, remote):
    situation(client, lab, remote, "bubblewrap")
