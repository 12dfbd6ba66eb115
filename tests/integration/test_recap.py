"""`orch recap` over the agents of a system, by Valkey and by HTTP, on terminals and as a page."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from orchestrator.cli.clients import interface
from orchestrator.errors import PushFailed
from orchestrator.wiring import clock
from tests.integration.test_cli_ids import fail, holder, orch, spawn

__all__ = ["holder", "orch"]


@pytest.fixture
def fleet(store, holder):
    failed, waiting, killed = (spawn(store, task=name) for name in ("bad", "waits", "gone"))
    fail(holder, failed, PushFailed())
    return failed, waiting, killed


def test_it_counts_ends_waits_and_kills(orch, fleet, monkeypatch):
    # More than one page of agents.
    monkeypatch.setattr(interface, "MAX_LIMIT", 2)
    failed, waiting, killed = fleet
    orch("kill", killed, "--why", "drill")
    found = json.loads(orch("recap", "--json").stdout)
    assert (found["ended"], found["active"], found["delivered"]) == (2, 1, [])
    assert found["failures"] == {"push_failed": 1}
    (kill,) = found["kills"]
    assert (kill["agentId"], kill["why"], kill["confirmed"]) == (killed, "drill", True)
    assert {one["agentId"] for one in found["slowestWaits"]} == {failed, waiting, killed}
    assert found["needAttention"] >= 1
    text = orch("recap", "--since", "1h").stdout
    assert "Killed: 1, 1 confirmed" in text
    assert "push_failed" in text
    page = orch("recap", "--html").stdout
    assert page.startswith("<!doctype html>")
    assert failed in page


def test_what_ended_before_is_left_out(orch, fleet):
    later = (clock() + timedelta(hours=1)).isoformat()
    found = json.loads(orch("recap", "--since", later, "--json").stdout)
    # An agent that has not ended belongs to every recap.
    assert (found["ended"], found["active"]) == (0, 2)
    assert found["failures"] == {}
    assert "does not go with" in orch("recap", "--html", "--json", code=2).stderr
