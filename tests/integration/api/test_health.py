"""Health and readiness answer whatever happens to Valkey."""

from __future__ import annotations

from orchestrator.store import workers
from tests.conftest import free_port
from tests.integration.api.conftest import BODY, INSTANT, now, problem_of, serving


def test_health_answers_while_valkey_is_away_and_readiness_names_what_failed():
    with serving(f"redis://127.0.0.1:{free_port()}/0") as (client, _):
        health = client.get("/health")
        assert health.status_code == 200
        assert health.json()["status"] == "healthy"
        assert health.json()["uptime"] >= 0
        assert INSTANT.fullmatch(health.json()["timestamp"])
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["ready"] is False
        assert "does not answer" in ready.json()["checks"]["valkey"]
        document = problem_of(client.post("/agents/spawn", json=BODY), 503)
        assert document["type"] == "urn:orchestrator:error:valkey_unreachable"


READY = dict.fromkeys(("valkey", "workers", "sweep", "disk"), "ok")


def test_readiness_asks_for_a_worker_of_every_pool(api, store):
    for queue in ("spawn", "cleanup"):
        store.run(workers.announce(f"{queue}@here", now=now()))
    answer = api.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "checks": READY | {"workers": "no worker serves gates"},
    }
    store.run(workers.announce("gates@here", now=now()))
    answer = api.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "checks": READY}
