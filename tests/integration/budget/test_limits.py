"""An operator sees and changes limits over HTTP and with `orch budget`."""

from __future__ import annotations

import json
import subprocess
import sys

from starlette.testclient import TestClient

from orchestrator.api.app import create_app
from orchestrator.audit.log import read_entries
from orchestrator.settings import load_settings
from orchestrator.store.budget import publish
from tests.integration.budget.conftest import LIMITS


def test_over_http_a_refusal_is_429_with_the_numbers_and_when_to_come_again(
    store, valkey_url, tmp_path
):
    settings = load_settings(
        {**LIMITS, "VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)}
    )
    context = {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]}
    body = {"taskId": "t", "agentType": "worker", "context": context, "agent": "scripted"}
    with TestClient(create_app(settings), base_url="http://localhost") as http:
        for _ in range(10):
            assert http.post("/agents/spawn", json=body).status_code == 201
        refused = http.post("/agents/spawn", json=body)
        found = http.get("/budget").json()
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    document = refused.json()
    assert document["type"] == "urn:orchestrator:error:budget_exhausted"
    numbers = [document[name] for name in ("limit", "used", "reserved", "asked")]
    assert numbers == [1000, 0, 1000, 100]
    assert (found["status"], found["reserved"], found["limit"]) == ("within_budget", 1000, 1000)
    assert len(found["agents"]) == 10


def orch(valkey_url, home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "budget", *arguments],
        env={"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_limit_set_by_hand_is_audited_and_wins_over_every_later_start(
    fleet, store, valkey_url, tmp_path
):
    refused = orch(valkey_url, tmp_path, "set", "daily", "0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("orch: daily: must be a number of tokens")
    ran = orch(valkey_url, tmp_path, "set", "daily", "5M", "--why", "release week", "--json")
    assert json.loads(ran.stdout)["dailyTokens"] == 5_000_000
    store.run(publish(fleet.settings))
    shown = fleet.summary()
    assert (shown.limit, shown.limits.changed) == (5_000_000, ("daily",))
    (entry,) = store.follow(read_entries(limit=10))
    assert (entry.action, entry.scope, entry.why) == ("budget", "daily", "release week")
    assert '"dailyTokens":1000,' in entry.before
    assert "5000000 tokens a day" in orch(valkey_url, tmp_path).stdout
    assert orch(valkey_url, tmp_path, "set", "dailyUsd", "$20").returncode == 0
    assert "5000000 tokens and $20.00 a day" in orch(valkey_url, tmp_path).stdout
    assert "$0.00 of $20.00 (0.0 %)" in orch(valkey_url, tmp_path).stdout
    store.follow(fleet.budget.set("daily", "default", by="me", why=""))
    assert fleet.summary().limit == 1000
