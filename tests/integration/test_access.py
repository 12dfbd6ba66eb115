"""Who may ask what: keys, their scopes and limits, and what a browser is told."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from orchestrator import wiring
from orchestrator.audit.log import read_entries
from orchestrator.cli import main
from orchestrator.errors import KeyExists, KeyUnknown, SettingsInvalid
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store import keys
from orchestrator.store.operations import command, nothing
from orchestrator.wiring import clock
from tests.integration.api.conftest import BODY, problem_of, serving

READ, SPAWN, KILL = KeyScope.READ, KeyScope.SPAWN, KeyScope.KILL
#: One key for the audit, whoever writes it.
ENV = {"ORCHESTRATOR_SPAWN_RATE": "3", "ORCHESTRATOR_SIGNING_KEY": "k" * 64}
PATHS = (
    ("GET", "/agents", READ),
    ("GET", "/queues", READ),
    ("POST", "/agents/spawn", SPAWN),
    ("POST", "/agents/nobody/retry", SPAWN),
    ("POST", "/agents/nobody/kill", KILL),
    ("POST", "/agents/kill-all", KILL),
    ("POST", "/queues/spawn/pause", KILL),
)


@pytest.fixture(scope="module")
def open_server(valkey_server):
    with serving(valkey_server, **ENV) as (client, _):
        yield client


@pytest.fixture
def settings(valkey_url, tmp_path):
    return load_settings({**ENV, "VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)})


@pytest.fixture
def api_keys(settings):
    return wiring.api_keys(settings)


@pytest.fixture
def api(open_server, store):
    return open_server


def headers(token):
    return {"X-API-Key": token}


def test_a_key_may_do_what_its_scopes_say_and_nothing_else(api, store, api_keys):
    assert api.get("/agents").status_code == 200, "without any key everyone on loopback may"
    for scopes in ((READ,), (SPAWN,), (KILL,), (READ, KILL)):
        token = store.follow(api_keys.add("-".join(scopes), scopes, by="ann"))
        for method, path, needed in PATHS:
            answer = api.request(method, path, headers=headers(token), json={})
            if needed in scopes:
                assert answer.status_code not in (401, 403), (scopes, path)
            else:
                document = problem_of(answer, 403)
                assert document["type"] == "urn:orchestrator:error:scope_missing"
    # With keys there, none is a fault; so is one that was revoked, from the next request on.
    assert problem_of(api.get("/agents"), 401)
    store.follow(api_keys.revoke("read", by="ann", why="left"))
    assert api.get("/health").status_code == 200


def test_an_idempotency_key_belongs_to_one_caller(api, store, api_keys):
    """Another caller's same key neither answers with the first's agent nor blocks."""
    tokens = [store.follow(api_keys.add(name, (SPAWN,), by="ann")) for name in ("ann", "annk")]

    def spawn(token, key, **changes):
        asked = {**headers(token), "Idempotency-Key": key}
        return api.post("/agents/spawn", json={**BODY, **changes}, headers=asked)

    first, again, other = (spawn(token, "kk") for token in (tokens[0], tokens[0], tokens[1]))
    assert first.json() == again.json()
    assert (other.status_code, other.json() == first.json()) == (201, False)
    # Another body is a conflict for who used the key, and for nobody else.
    late = [spawn(token, "late", priority=at + 1).status_code for at, token in enumerate(tokens)]
    assert late == [201, 201]
    assert problem_of(spawn(tokens[1], "late"), 409)
    # A name and a key are not one text: `ann` with `kk` is not `annk` with `k`.
    assert keys.idempotency("ann", "kk") != keys.idempotency("annk", "k")


def test_a_revoked_and_an_expired_key_are_refused_at_once(api, store, api_keys):
    token = store.follow(api_keys.add("old", (READ,), by="ann"))
    store.follow(api_keys.add("other", (READ,), by="ann"))
    assert api.get("/agents", headers=headers(token)).status_code == 200
    store.follow(api_keys.revoke("old", by="bob", why="rotated"))
    problem_of(api.get("/agents", headers=headers(token)), 401)
    late = store.follow(
        api_keys.add("late", (READ,), by="ann", expires_at=clock() - timedelta(seconds=1))
    )
    assert "expired" in problem_of(api.get("/agents", headers=headers(late)), 401)["detail"]
    with pytest.raises(KeyUnknown):
        store.follow(api_keys.revoke("old", by="bob", why=""))
    with pytest.raises(KeyExists):
        store.follow(api_keys.add("late", (READ,), by="ann"))


def test_the_last_key_revoked_leaves_nobody_in_and_the_next_one_lets_in(
    valkey_url, api, store, api_keys, settings
):
    """Once asked for, always asked for; also where the key is older than the mark of it."""
    token = store.follow(api_keys.add("only", tuple(KeyScope), by="ann"))
    store.run(command("DEL", keys.KEYS_ASKED, decode=nothing))
    assert api.get("/agents", headers=headers(token)).status_code == 200
    with pytest.raises(KeyUnknown):
        store.follow(api_keys.revoke("another", by="ann", why=""))
    assert not store.run(command("EXISTS", keys.KEYS_ASKED, decode=bool))
    store.follow(api_keys.revoke("only", by="ann", why="left"))
    for given in ({}, headers(token)):
        document = problem_of(api.get("/agents", headers=given), 401)
        assert "orch keys add" in document["detail"]
    # A key that is added and taken out by hand leaves the mark of its own.
    store.run(command("DEL", keys.KEYS_ASKED, decode=nothing))
    store.follow(api_keys.add("next", (READ,), by="ann"))
    store.run(command("DEL", keys.KEYS, decode=nothing))
    problem_of(api.get("/agents"), 401)
    again = store.follow(api_keys.add("next", (READ,), by="ann"))
    assert api.get("/agents", headers=headers(again)).status_code == 200
    store.follow(api_keys.revoke("next", by="ann", why=""))
    with_key = wiring.api_keys(settings.model_copy(update={"api_key": SecretStr("s" * 20)}))
    assert store.follow(with_key.identify(b"s" * 20, client="x")).scopes == set(KeyScope)


def test_no_token_stands_in_valkey_and_who_used_a_key_is_named(api, store, api_keys):
    token = store.follow(api_keys.add("ci", (SPAWN, KILL), by="ann"))
    agent_id = api.post("/agents/spawn", json=BODY, headers=headers(token)).json()["agentId"]
    api.post(f"/agents/{agent_id}/kill", json={"reason": "wrong"}, headers=headers(token))
    entries = store.follow(read_entries(limit=9))
    assert [(entry.action, entry.who, entry.why) for entry in entries] == [
        ("add-key", "ann", ""),
        ("spawn", "ci", ""),
        ("kill", "ci", "wrong"),
    ]
    for name in store.run(command("KEYS", "orchestrator:*", decode=list)):
        dump = store.run(command("DUMP", name, decode=bytes))
        assert token.encode() not in dump
        assert token.removeprefix("orch_").encode() not in dump


def test_spawns_are_limited_by_key_for_all_processes_and_kills_never(valkey_url, store, api_keys):
    token = store.follow(api_keys.add("ci", (SPAWN, KILL), by="ann"))
    with (
        serving(valkey_url, **ENV) as (one, _),
        serving(valkey_url, **ENV) as (two, _),
    ):

        def spawn(api, key=token):
            return api.post("/agents/spawn", json=BODY, headers=headers(key))

        assert [spawn(api).status_code for api in (one, two, one)] == [201] * 3
        for api in (one, two):
            refused = spawn(api)
            assert problem_of(refused, 429)["type"] == "urn:orchestrator:error:rate_limited"
            assert 1 <= int(refused.headers["retry-after"]) <= 20
        for _ in range(5):
            killed = one.post("/agents/kill-all", headers=headers(token))
            assert killed.status_code == 200
        other = store.follow(api_keys.add("other", (SPAWN,), by="ann"))
        assert spawn(one, other).status_code == 201


def test_kill_all_takes_a_scope_and_a_reason(api, store):
    kept, killed = (
        api.post("/agents/spawn", json=BODY | {"taskId": task}).json()["agentId"]
        for task in ("keep", "kill")
    )
    report = api.post("/agents/kill-all", json={"taskId": "kill", "reason": "wrong", "timeout": 5})
    assert report.json() == {
        "message": "Kill all completed: 1 killed, 0 failed",
        "total": 1,
        "killed": 1,
        "failed": 0,
        "errors": [],
    }
    assert api.get(f"/agents/{killed}/receipt").json()["why"] == "wrong"
    assert api.get(f"/agents/{kept}/status").json()["status"] == "spawning"
    for body in ({"task": "kill"}, {"timeout": -1}, [], "kill"):
        problem_of(api.post("/agents/kill-all", json=body), 422)
    assert api.get(f"/agents/{kept}/status").json()["status"] == "spawning"


def test_a_browser_is_given_nothing_it_would_send_by_itself(api, store, api_keys):
    """What a browser sends unasked, a page of another port of this name would have it send."""
    token = store.follow(api_keys.add("ann", tuple(KeyScope), by="ann"))
    for path in ("/", "/docs"):
        page = api.get(path, headers={"Accept": "text/html,*/*"})
        assert (page.status_code, "set-cookie" in page.headers) == (200, False)
        assert "form-action 'none'" in page.headers["content-security-policy"]
    problem_of(api.get("/queues", headers={"Accept": "text/html,*/*"}), 401)
    for name in ("orchestrator_key", "X-API-Key", "key"):
        problem_of(api.get("/queues", headers={"Cookie": f"{name}={token}"}), 401)
    for path in ("/openapi.json", "/session"):
        problem_of(api.get(path), 401)
    assert api.post("/session", data={"key": token}, headers=headers(token)).status_code == 404


def test_hosts_that_are_allowed_may_be_asked_for_and_others_not(valkey_url, store, api_keys):
    """And whoever asks for one needs a key: it may be a proxy's, and this the network's door."""
    extra = {"ORCHESTRATOR_ALLOWED_HOSTS": "orch.example, other.example, tls.example:8443"}
    with serving(valkey_url, **extra) as (api, _):
        for host in ("orch.example", "localhost"):
            document = problem_of(api.get("/agents", headers={"Host": host}), 401)
            assert "orch keys add" in document["detail"]
        key = headers(store.follow(api_keys.add("ann", (READ,), by="ann")))
        for host, status in (
            ("orch.example", 200), ("OTHER.example:8443", 200), ("evil.example", 421),
        ):  # fmt: skip
            assert api.get("/agents", headers={"Host": host, **key}).status_code == status
        for host, origin, status in (
            ("orch.example", "https://orch.example", 200),
            ("orch.example:8443", "https://orch.example:8443", 200),
            ("localhost", "https://orch.example", 200),  # as a proxy may ask
            ("localhost", "https://tls.example:8443", 200),
            ("tls.example:8443", "https://tls.example:8443", 200),
            ("localhost", "https://orch.example:8443", 403),
            ("orch.example", "https://orch.example:8443", 403),
            ("orch.example", "https://evil.example", 403),
        ):
            there = {"Host": host, "Origin": origin, **key}
            assert api.get("/agents", headers=there).status_code == status, there
        # As if it had lost all it knew.
        store.run(command("FLUSHALL", decode=nothing))
        for given in ({}, key):
            problem_of(api.get("/agents", headers=given), 401)
    with pytest.raises(SettingsInvalid, match="ORCHESTRATOR_HOST"):
        load_settings({"ORCHESTRATOR_HOST": "0.0.0.0"})


def test_every_answer_carries_the_policy_for_browsers(api, store):
    store.run(command("SET", keys.agent("bad"), "{", decode=bool))
    for path, status in (
        ("/health", 200),
        ("/agents", 200),
        ("/x", 404),
        ("/agents/bad/status", 500),
    ):
        answer = api.get(path)
        assert answer.status_code == status
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_who_cannot_look_keys_up_lets_nobody_in(unused_port):
    """Fail closed: there may be keys, and this may be none of them."""
    with serving(f"redis://127.0.0.1:{unused_port}/0") as (api, _):
        problem_of(api.get("/agents", headers=headers("guess")), 503)
        problem_of(api.get("/nowhere"), 503)
        assert api.get("/health").status_code == 200


def test_a_body_that_does_not_come_is_given_up(api, monkeypatch):
    """In this process, with a short patience: the server's own is 20 s."""
    import asyncio

    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    from orchestrator.api.http import endpoint

    async def receive():
        await asyncio.sleep(3600)

    monkeypatch.setattr(endpoint, "BODY_WITHIN_S", 0.01)
    request = Request({"type": "http", "headers": [], "method": "POST"}, receive)
    with pytest.raises(HTTPException) as caught:
        asyncio.run(endpoint.read_body(request))
    assert caught.value.status_code == 408


def test_keys_are_made_listed_and_revoked_on_the_command_line(
    valkey_url, api, monkeypatch, tmp_path
):
    monkeypatch.setenv("VALKEY_URL", valkey_url)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_SIGNING_KEY", ENV["ORCHESTRATOR_SIGNING_KEY"])

    def orch(*arguments, code=0):
        ran = CliRunner().invoke(main, arguments)
        assert ran.exit_code == code, ran.output
        return ran.stdout

    made = json.loads(
        orch("keys", "add", "--name=ci", "--scope=spawn", "--scope=read", "--expires=30d", "--json")
    )
    assert httpx.get(f"{api.base_url}/agents", headers=headers(made["key"])).status_code == 200
    (listed,) = json.loads(orch("keys", "ls", "--json"))["keys"]
    assert (listed["name"], listed["scopes"]) == ("ci", ["read", "spawn"])
    assert listed["lastUsedAt"] >= listed["createdAt"]
    assert listed["expiresAt"] > listed["createdAt"]
    assert "digest" not in listed
    assert made["key"] not in orch("keys", "ls")
    orch("keys", "add", "--name=ci", "--scope=read", code=1)
    orch("keys", "add", "--name=a b", "--scope=read", code=2)
    orch("keys", "add", "--name=x", "--scope=read", "--expires=99999999999d", code=2)
    orch("keys", "revoke", "ci", "--reason=rotated")
    orch("keys", "revoke", "ci", code=1)
    assert "0" in orch("queues")
    orch("queues", "pause", "gates", "--reason=flaky")
    states = {state["name"]: state for state in json.loads(orch("queues", "--json"))["queues"]}
    assert states["gates"]["pause"]["why"] == "flaky"
    assert json.loads(orch("queues", "resume", "gates", "--json"))["isPaused"] is False
    orch("queues", "pause", "nothing", code=1)
