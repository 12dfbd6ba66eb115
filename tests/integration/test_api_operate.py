"""Halt, resume, limits, audit and fsck over HTTP: scopes, audit, no limit of their number."""

from __future__ import annotations

import httpx
import pytest

from orchestrator import wiring
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store import halt as halts
from tests.integration.api.conftest import serving
from tests.integration.test_cli_ids import spawn


@pytest.fixture
def api(store, valkey_url):
    """Ask a server that asks for keys, with a key of one scope."""
    extra = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64}
    api_keys = wiring.api_keys(load_settings(extra))
    tokens = {
        str(scope): store.follow(api_keys.add(str(scope), [scope], by="test")) for scope in KeyScope
    }
    with serving(valkey_url, **extra) as (client, _):

        def ask(method, path, scope, **options):
            headers = {"X-API-Key": tokens[scope]}
            url = f"{client.base_url}{path}".replace("//h", "/h")
            return httpx.request(method, url, headers=headers, timeout=120, **options)

        yield ask
    # Whoever comes next on this Valkey has no key.
    store._client.call("FLUSHALL")


ROUTES = [
    ("POST", "/halt", "operate", {"reason": "night"}),
    ("POST", "/resume", "operate", {"reason": "day"}),
    ("PATCH", "/budget", "operate", {"daily": 5_000_000, "reason": "less"}),
    ("GET", "/audit", "audit", None),
    ("GET", "/fsck", "audit", None),
]


@pytest.mark.parametrize(("method", "path", "scope", "body"), ROUTES)
def test_each_needs_its_own_scope_and_no_other(api, method, path, scope, body):
    for other in KeyScope:
        answer = api(method, path, str(other), json=body) if body else api(method, path, str(other))
        assert answer.status_code == (200 if other == scope else 403), (other, answer.text)


def test_a_halt_stops_admission_until_the_resume_and_both_are_audited(api, store):
    spawn(store)
    assert api("POST", "/halt", "operate", json={"reason": "night"}).json()["halted"] is True
    assert store.run(halts.find_halt()).by == "operate"
    assert api("POST", "/agents/spawn", "spawn", json=_body()).status_code == 429
    assert api("POST", "/resume", "operate").status_code == 422
    assert api("POST", "/resume", "operate", json={"reason": ""}).status_code == 422
    assert store.run(halts.find_halt()) is not None
    answer = api("POST", "/resume", "operate", json={"reason": "day"})
    assert answer.json() == {"halted": False, "waiting": 1}
    assert api("POST", "/agents/spawn", "spawn", json=_body()).status_code == 201
    entries = api("GET", "/audit", "audit").json()["entries"]
    told = [(one["action"], one["who"], one["why"]) for one in entries]
    assert ("halt", "operate", "night") in told
    assert ("resume", "operate", "day") in told


def _body():
    context = {"repository": "/srv/x", "branch": "main", "workItems": ["x"]}
    return {"taskId": "t", "agentType": "worker", "context": context}


def test_limits_change_together_or_not_at_all(api):
    before = api("GET", "/budget", "read").json()["limits"]
    wrong = api("PATCH", "/budget", "operate", json={"daily": 5_000_000, "concurrency": 0})
    assert wrong.status_code == 422
    wrong = api("PATCH", "/budget", "operate", json={"daily": 5_000_000, "time": "soon"})
    assert wrong.status_code == 422
    assert api("GET", "/budget", "read").json()["limits"] == before
    changed = api(
        "PATCH", "/budget", "operate", json={"daily": 5_000_000, "time": 60, "reason": "night"}
    ).json()
    assert (changed["dailyTokens"], changed["timeS"]) == (5_000_000, 60)
    assert (
        api("PATCH", "/budget", "operate", json={"daily": "default"}).json()["dailyTokens"]
        == before["dailyTokens"]
    )
    dollars = {"dailyUsd": 20, "agentUsd": 0.5}
    changed = api("PATCH", "/budget", "operate", json=dollars).json()
    assert (changed["dailyUsd"], changed["agentUsd"]) == (20.0, 0.5)
    assert api("GET", "/budget", "read").json()["percentUsd"] == 0.0
    for wrong in ({"dailyUsd": 0}, {"agentUsd": "0.5"}, {"agentUsd": 1e7}):
        assert api("PATCH", "/budget", "operate", json=wrong).status_code == 422
    assert api("PATCH", "/budget", "operate", json={"reason": "nothing"}).status_code == 422
    entries = api("GET", "/audit", "audit").json()["entries"]
    assert [one["result"] for one in entries if one["action"] == "budget"] == [
        "daily 5000000",
        "time 60",
        "daily default",
        "dailyUsd 20.000000",
        "agentUsd 0.500000",
    ]


def test_the_audit_has_pages_and_one_agents_entries(api, store):
    agent_id = spawn(store)
    for _ in range(5):
        api("POST", "/halt", "operate", json={"reason": "x"})
    newest = api("GET", "/audit?limit=2", "audit").json()
    older = api("GET", f"/audit?limit=2&before={newest['nextBefore']}", "audit").json()
    seqs = [one["seq"] for one in older["entries"] + newest["entries"]]
    assert seqs == sorted(seqs)
    assert len(set(seqs)) == 4
    api("POST", f"/agents/{agent_id}/kill", "kill")
    found = api("GET", f"/audit?agentId={agent_id}", "audit").json()["entries"]
    assert {one["agentId"] for one in found} == {agent_id}
    assert {"spawn", "kill"} <= {one["action"] for one in found}


def test_fsck_reads_and_repairs_nothing(api, store):
    agent_id = spawn(store)
    store._client.call("DEL", f"orchestrator:agent:{agent_id}")
    for _ in range(2):
        found = api("GET", "/fsck", "audit").json()
        assert found["left"] == len(found["drifts"]) > 0
    assert agent_id in str(found["drifts"])


def test_an_id_in_a_path_may_be_a_unique_prefix(api, store):
    ids = [spawn(store, f"abcdef{n}0-0000-4000-8000-000000000001") for n in range(2)]
    assert api("GET", "/agents/abcdef0/status", "read").json()["agentId"] == ids[0]
    refused = api("POST", "/agents/abcdef/kill", "kill")
    assert (refused.status_code, refused.json()["type"][-12:]) == (409, "id_ambiguous")
    assert api("GET", "/agents/abcde/status", "read").status_code == 404
    answer = api("POST", "/agents/abcdef1/kill", "kill")
    assert answer.json() == {"message": f"Agent {ids[1]} killed successfully"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/agents/kill-all"), ("POST", "/halt"), ("POST", "/queues/spawn/pause")],
)
def test_a_null_body_is_no_empty_body(api, method, path):
    scope = "operate" if path == "/halt" else "kill"
    refused = api(method, path, scope, content=b"null")
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "body")
    assert api(method, path, scope).status_code == 200
