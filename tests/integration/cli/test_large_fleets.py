"""`orch top`, `ls` and `recap` with more agents of a state than one page has."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from orchestrator.cli.clients import http
from orchestrator.cli.clients.http import HttpClient
from orchestrator.cli.clients.interface import AgentFilter
from orchestrator.cli.clients.requests import ApiRequests
from orchestrator.errors import PushFailed
from orchestrator.models import AuditAction, ModelChoice, SpawnRequest
from orchestrator.settings import load_settings
from orchestrator.store.registration import submission
from tests.integration.api.conftest import serving
from tests.integration.test_cli_ids import fail, holder, orch, spawn

__all__ = ["holder", "orch"]

MANY = 507
SCRIPTED = (ModelChoice(agent="scripted"),)
BODY = {
    "taskId": "t",
    "agentType": "worker",
    "context": {"repository": "/srv/shop.git", "branch": "main", "workItems": ["x"]},
}


@pytest.fixture
def many(store):
    now = datetime.now(UTC)
    note = AuditAction(action="spawn", who="ann", why="")
    request = SpawnRequest.parse(BODY)
    for number in range(MANY):
        name = f"{number:08x}-0000-4000-8000-000000000001"
        store.run(
            submission(request, agent_id=name, choices=SCRIPTED, now=now, tag=name, note=note)
        )


def test_top_counts_and_lists_all_active_agents(orch, many):
    found = json.loads(orch("top", "--json").stdout)
    assert len({one["agentId"] for one in found["agents"]}) == MANY
    assert found["counts"]["spawning"] == MANY
    text = orch("top").stdout
    shown = len(re.findall(r"^.  0[0-9a-f]{7} ", text, re.MULTILINE))
    (left,) = [line for line in text.splitlines() if line.startswith("and ")]
    assert int(left.split()[1]) == MANY - shown
    assert shown > 10


def test_ls_says_where_more_may_need_attention(orch, store, holder, many):
    fail(holder, spawn(store, task="u"), PushFailed())
    said = orch("ls", "--attention").stderr
    assert "at least 1 need attention; there may be more: only the newest 500" in said
    assert "may be more" not in orch("ls").stderr


def test_ls_says_nothing_where_it_examined_all(orch, store, holder):
    for number in range(2):
        fail(holder, spawn(store, task=f"t{number}"), PushFailed())
    said = orch("ls", "--attention", "--limit", "1").stderr
    assert "1 more need you" in said
    assert "at least" not in said


def test_over_http_the_urgent_have_pages(store, valkey_url, holder, monkeypatch):
    ids = [spawn(store, task=f"t{number}") for number in range(5)]
    for name in ids:
        fail(holder, name, PushFailed())
    monkeypatch.setattr(http, "MAX_LIMIT", 2)
    with serving(valkey_url) as (client, _):
        url = str(client.base_url)
        first = client.get("/agents?urgent=true&limit=2").json()
        assert first["nextCursor"] == first["agents"][-1]["agentId"]
        refused = client.get("/agents?urgent=true&cursor=nobody")
        assert (refused.status_code, refused.json()["type"][-14:]) == (404, "cursor_unknown")
        settings = load_settings({"ORCHESTRATOR_API_URL": url})
        with ApiRequests.open(settings) as api:
            pairs = HttpClient(api).urgent(AgentFilter())
    assert [agent.agent_id for agent, _ in pairs] == ids[::-1]


def test_the_receipts_of_a_recap_come_with_the_pages(orch, store, monkeypatch):
    ids = [spawn(store, task=f"t{number}") for number in range(4)]
    orch("kill-all", "--yes", "--why", "drill")
    asked = []
    sent = ApiRequests.sent

    def count(self, method, path, **options):
        asked.append(path)
        return sent(self, method, path, **options)

    monkeypatch.setattr(ApiRequests, "sent", count)
    found = json.loads(orch("recap", "--json").stdout)
    assert {one["agentId"] for one in found["kills"]} == set(ids)
    assert all(one["confirmed"] and one["why"] == "drill" for one in found["kills"])
    assert not [path for path in asked if "receipt" in path]
