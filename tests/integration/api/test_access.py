"""Keys and origins are checked; what fails is named."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.integration.api.conftest import BODY, problem_of, serving, spawn


def test_a_key_is_asked_for_everywhere_but_at_health(valkey_url):
    with serving(valkey_url, ORCHESTRATOR_API_KEY="s3cret-ü") as (client, _):
        assert client.get("/health").status_code == 200
        assert client.get("/health/ready").status_code == 503
        for headers in (
            {},
            {"X-API-Key": "wrong"},
            {"Authorization": "Basic s3cret-ü".encode()},
            {"X-API-Key": "ÿ".encode("latin-1")},
        ):
            for path in ("/agents", "/nowhere", "/healthy"):
                refused = client.get(path, headers=headers)
                problem_of(refused, 401)
                assert refused.headers["www-authenticate"] == "Bearer"
        key = "s3cret-ü".encode()
        assert client.get("/agents", headers={"X-API-Key": key}).status_code == 200
        assert client.get("/agents", headers={"Authorization": b"Bearer " + key}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:3001"}, 200),
        ({"Host": "[::1]:3001"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "localhost@evil.example"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Host": "localhost:3001", "Origin": "http://localhost:3001"}, 200),
        ({"Host": "LOCALHOST:3001", "Origin": "http://localhost:3001"}, 200),
        ({"Host": "localhost:3001", "Origin": "http://localhost:5173"}, 403),
        ({"Host": "localhost:3001", "Origin": "http://localhost"}, 403),
        ({"Host": "localhost:3001", "Origin": "http://127.0.0.1:3001"}, 403),
        ({"Origin": "http://localhost:5173"}, 403),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
    ],
)
def test_on_loopback_no_page_from_elsewhere_gets_in(api, headers, status):
    """Another port of the same name is elsewhere: anything may listen there."""
    answer = api.get("/agents", headers=headers)
    assert answer.status_code == status
    if status != 200:
        problem_of(answer, status)


def test_a_record_that_others_wrote_is_500_and_named(api, store):
    agent_id = spawn(api)
    store._client.call("SET", f"orchestrator:agent:{agent_id}", '{"secret": "x"}')
    document = problem_of(api.get(f"/agents/{agent_id}/status"), 500)
    assert f"orchestrator:agent:{agent_id}" in document["detail"]


def test_a_valkey_out_of_memory_is_503_in_its_words_and_stores_nothing(api, store):
    store._client.call("CONFIG", "SET", "maxmemory", 1)
    try:
        document = problem_of(api.post("/agents/spawn", json=BODY), 503)
    finally:
        store._client.call("CONFIG", "SET", "maxmemory", 0)
    assert "used memory > 'maxmemory'" in document["detail"]
    assert store._client.call("KEYS", "orchestrator:*") == []


def test_a_taken_port_is_one_line_and_exit_1(valkey_url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator.api"],
            env={"VALKEY_URL": valkey_url, "ORCHESTRATOR_PORT": port},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr
