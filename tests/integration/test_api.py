"""The HTTP shim as its clients meet it: a real server process on a real Valkey."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest

from orchestrator.errors import AgentFailed
from orchestrator.leases.holder import AgentLeases
from orchestrator.models import GateProfile, GateReport, LogLine
from orchestrator.store import agent_logs, changes, workers
from tests.conftest import free_port

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
BODY = {
    "taskId": "task-1",
    "agentType": "worker",
    "context": {"repository": "/srv/repo.git", "branch": "main", "workItems": ["add a function"]},
}


def now():
    return datetime.now(UTC)


@contextmanager
def serving(valkey_url, *under, **environ):
    """The shim in its own process; ended by SIGTERM, which it must obey with exit 0.

    `under` is a program that becomes it.
    """
    port = free_port()
    env = {"PATH": os.environ["PATH"], "VALKEY_URL": valkey_url, "ORCHESTRATOR_PORT": str(port)}
    process = subprocess.Popen(
        [*under, sys.executable, "-m", "orchestrator.api"],
        env=env | environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # The port is bound before this line is written: from here on connections wait in it.
        assert "listening" in process.stderr.readline()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client, process
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def server(valkey_server) -> Iterator[httpx.Client]:
    with serving(valkey_server) as (client, _):
        yield client


@pytest.fixture
def api(server, store) -> httpx.Client:
    """The shim's client, on an empty Valkey."""
    return server


@pytest.fixture
def holder(store):
    return AgentLeases(store, now, lambda: str(uuid.uuid4()), "spawn@here", 30.0, "1:1")


def spawn(api, **changed):
    answer = api.post("/agents/spawn", json=BODY | changed)
    assert answer.status_code == 201, answer.text
    return answer.json()["agentId"]


def run_to(holder, agent_id):
    """Move an agent to `running` as a pool does."""
    return holder.start(holder.claim(agent_id), base_commit="b" * 40)


def say(store, agent, *texts):
    lines = [LogLine(at=now(), source="agent", text=text) for text in texts]
    assert store.run(agent_logs.append_log(agent.agent_id, agent.attempt, lines, cap=1000))


def problem_of(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert {"type", "title", "status", "detail"} <= document.keys()
    assert document["status"] == status
    return document


# ── health ──────────────────────────────────────────────────────────────────────────────────


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


# ── spawning ────────────────────────────────────────────────────────────────────────────────


def test_a_spawned_agent_is_readable_where_location_says(api):
    answer = api.post("/agents/spawn", json=BODY)
    agent_id = answer.json()["agentId"]
    assert answer.status_code == 201
    assert answer.json() == {"agentId": agent_id, "status": "spawning"}
    state = api.get(answer.headers["location"]).json()
    assert (state["agentId"], state["taskId"]) == (agent_id, "task-1")
    assert (state["status"], state["phase"]) == ("spawning", "queued")
    assert INSTANT.fullmatch(state["spawnedAt"])
    assert "completedAt" not in state


def test_every_fault_of_a_body_is_listed_with_its_path(api):
    body = {"agentType": "boss", "context": {"repository": "ext::sh", "branch": "-x"}, "extra": 1}
    document = problem_of(api.post("/agents/spawn", json=body), 422)
    assert {fault["path"] for fault in document["errors"]} == {
        "taskId",
        "agentType",
        "context.repository",
        "context.branch",
        "context.workItems",
        "extra",
    }
    assert all(fault["message"] for fault in document["errors"])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b'"text"', b"null", b"1" * 5000],
    ids=["empty", "cut", "not-utf8", "deep", "list", "text", "null", "huge-number"],
)
def test_a_body_that_is_no_json_object_is_a_fault_of_the_body(api, body):
    document = problem_of(api.post("/agents/spawn", content=body), 422)
    assert [fault["path"] for fault in document["errors"]] == ["body"]


def test_a_lone_surrogate_is_refused_and_not_stored(api):
    body = json.dumps(BODY).replace("add a function", "\\ud800")
    document = problem_of(api.post("/agents/spawn", content=body), 422)
    assert document["errors"][0]["path"] == "context.workItems.0"
    assert api.get("/agents").json() == {"agents": []}


def test_a_body_over_one_mebibyte_is_413_even_without_a_length(api):
    chunks = (b" " * 65_536 for _ in range(17))
    problem_of(api.post("/agents/spawn", content=chunks), 413)
    problem_of(api.post("/agents/spawn", content=b" " * (2**20 + 1)), 413)


def test_the_content_type_does_not_matter(api):
    answer = api.post("/agents/spawn", content=json.dumps(BODY), headers={"content-type": "x/y"})
    assert answer.status_code == 201


def test_an_idempotency_key_names_one_agent_and_one_body(api):
    headers = {"Idempotency-Key": "k"}
    first = api.post("/agents/spawn", json=BODY, headers=headers)
    again = api.post("/agents/spawn", json=BODY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert len(api.get("/agents").json()["agents"]) == 1
    other = api.post("/agents/spawn", json=BODY | {"priority": 9}, headers=headers)
    document = problem_of(other, 409)
    assert document["type"] == "urn:orchestrator:error:idempotency_conflict"


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_there_is_404_and_what_is_not_allowed_405(api):
    agent_id = spawn(api)
    # `<id>:request` is a key of the agent, but no agent.
    for name in ("nobody", f"{agent_id}:request"):
        for what in ("status", "logs", "gates"):
            problem_of(api.get(f"/agents/{name}/{what}"), 404)
    problem_of(api.get("/tasks/none"), 404)
    problem_of(api.get("/nowhere"), 404)
    refused = api.get("/agents/spawn")
    problem_of(refused, 405)
    assert "POST" in refused.headers["allow"]


def test_the_list_is_filtered_and_paged_newest_first(api, holder):
    ids = [spawn(api, taskId=f"t{n % 2}", agentType=("worker", "tester")[n % 2]) for n in range(4)]
    run_to(holder, ids[0])

    def listed(**query):
        return [agent["agentId"] for agent in api.get("/agents", params=query).json()["agents"]]

    assert set(listed()) == set(ids)
    assert listed(status="running") == [ids[0]]
    assert set(listed(agentType="tester")) == {ids[1], ids[3]}
    assert set(listed(taskId="t0")) == {ids[0], ids[2]}
    assert listed(taskId="t1", status="running") == []
    first = api.get("/agents", params={"limit": 3}).json()
    rest = api.get("/agents", params={"limit": 3, "cursor": first["nextCursor"]}).json()
    assert len(first["agents"]) == 3
    assert "nextCursor" not in rest
    assert {agent["agentId"] for agent in first["agents"] + rest["agents"]} == set(ids)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"status": "dead"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_filter_is_named(api, query, path):
    document = problem_of(api.get("/agents", params=query), 422)
    assert [fault["path"] for fault in document["errors"]] == [path]


def test_a_cursor_of_no_agent_is_unknown(api):
    problem = problem_of(api.get("/agents", params={"cursor": "nobody"}), 404)
    assert problem["type"] == "urn:orchestrator:error:cursor_unknown"


def test_a_task_shows_its_agents_whatever_its_name(api, holder):
    first, second = (spawn(api, taskId="feature/ü 1") for _ in range(2))
    run_to(holder, second)
    document = api.get("/tasks/feature%2F%C3%BC%201").json()
    assert (document["taskId"], document["status"]) == ("feature/ü 1", "executing")
    assert {agent["agentId"] for agent in document["agents"]} == {first, second}


def test_gate_reports_are_listed_oldest_first(api, store):
    agent_id = spawn(api)
    assert api.get(f"/agents/{agent_id}/gates").json() == {"reports": []}
    for attempt in (1, 2):
        report = GateReport(
            agent_id=agent_id,
            attempt=attempt,
            stage="pre-commit",
            profile=GateProfile.MINIMAL,
            tree="a" * 40,
            plan_digest="d",
            approved=attempt == 2,
        )
        store.run(changes.append_report(report))
    reports = api.get(f"/agents/{agent_id}/gates").json()["reports"]
    assert [report["approved"] for report in reports] == [False, True]


def test_logs_come_in_pages(api, store, holder):
    agent = run_to(holder, spawn(api))
    path = f"/agents/{agent.agent_id}/logs"
    assert api.get(path).json() == {"lines": []}
    say(store, agent, "one", "two", "three")
    first = api.get(path, params={"limit": 2}).json()
    assert [line["text"] for line in first["lines"]] == ["one", "two"]
    assert first["lines"][0].keys() == {"id", "at", "source", "text"}
    rest = api.get(path, params={"limit": 2, "cursor": first["nextCursor"]}).json()
    assert [line["text"] for line in rest["lines"]] == ["three"]
    assert "nextCursor" not in rest
    problem_of(api.get(path, params={"cursor": "9" * 20 + "-0"}), 422)


# ── following ───────────────────────────────────────────────────────────────────────────────


def frames(lines):
    """Parse server-sent events into (event, id, data); comments are passed over."""
    event = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event["event"], event.get("id"), json.loads(event["data"])
            event = {}


def test_a_follower_gets_every_line_as_it_comes_and_then_the_end(api, store, holder):
    agent = run_to(holder, spawn(api))
    say(store, agent, "before\nwith a newline", "<b>&")
    path, accept = f"/agents/{agent.agent_id}/logs", {"Accept": "text/event-stream"}
    with api.stream("GET", path, headers=accept) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        followed = frames(answer.iter_lines())
        event, first_id, line = next(followed)
        assert (event, line["text"], line["id"]) == ("log", "before\nwith a newline", first_id)
        assert next(followed)[2]["text"] == "<b>&"
        say(store, agent, "while following")
        assert next(followed)[2]["text"] == "while following"
        say(store, agent, "last words")
        holder.fail(agent, AgentFailed())
        assert next(followed)[2]["text"] == "last words"
        assert next(followed) == ("end", None, {"status": "failed"})
        assert next(followed, None) is None
    again = api.get(path, headers={**accept, "Last-Event-ID": first_id})
    texts = [data.get("text") for _, _, data in frames(again.text.splitlines())]
    assert texts == ["<b>&", "while following", "last words", None]
    bad = api.get(path, headers={**accept, "Last-Event-ID": "yesterday"})
    assert problem_of(bad, 422)["errors"][0]["path"] == "cursor"


def test_a_server_that_stops_ends_its_followers_cleanly(valkey_url):
    with serving(valkey_url) as (client, process):
        agent_id = spawn(client)
        headers = {"Accept": "text/event-stream"}
        with client.stream("GET", f"/agents/{agent_id}/logs", headers=headers) as answer:
            lines = answer.iter_lines()
            # The first comment says that the follower waits in Valkey.
            assert next(lines).startswith(":")
            process.terminate()
            assert not any(line.startswith("event:") for line in lines)
        logged = [json.loads(line) for line in process.stderr]
        assert {line["level"] for line in logged} == {"info"}


# ── who may ask ─────────────────────────────────────────────────────────────────────────────


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
    store._client.set(f"orchestrator:agent:{agent_id}", '{"secret": "x"}')
    document = problem_of(api.get(f"/agents/{agent_id}/status"), 500)
    assert f"orchestrator:agent:{agent_id}" in document["detail"]


def test_a_valkey_out_of_memory_is_503_in_its_words_and_stores_nothing(api, store):
    store._client.config_set("maxmemory", 1)
    try:
        document = problem_of(api.post("/agents/spawn", json=BODY), 503)
    finally:
        store._client.config_set("maxmemory", 0)
    assert "used memory > 'maxmemory'" in document["detail"]
    assert store._client.keys("orchestrator:*") == []


def test_a_taken_port_is_one_line_and_exit_1(valkey_url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator.api"],
            env={"VALKEY_URL": valkey_url, "ORCHESTRATOR_PORT": port},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr
