"""One-time logins: one key for one code, once, in time, and nothing for whoever has none."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from click.testing import CliRunner

from orchestrator import wiring
from orchestrator.audit.log import read_entries
from orchestrator.cli import main
from orchestrator.control.api_keys import digest_of, read_keys
from orchestrator.control.logins import LIFE_S
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store import keys
from orchestrator.store.operations import command
from orchestrator.wiring import clock
from tests.integration.api.conftest import problem_of, serving

ENV = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64}
READ = KeyScope.READ
HOUR_S = 3600.0


@pytest.fixture(scope="module")
def server(valkey_server):
    """A server that requires a key by its settings."""
    with serving(valkey_server, **ENV, ORCHESTRATOR_API_KEY="s" * 30) as (client, _):
        yield client


@pytest.fixture
def api(server, store):
    return server


@pytest.fixture
def settings(valkey_url, tmp_path):
    return load_settings({**ENV, "VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)})


@pytest.fixture
def logins(settings):
    return wiring.logins(settings)


@pytest.fixture
def code(store, logins):
    return store.follow(logins.create(list(KeyScope), by="ann@desk", expires_s=HOUR_S))


def refused(answer):
    document = problem_of(answer, 401)
    assert document["type"] == "urn:orchestrator:error:login_refused"
    assert "`orch dashboard` prints a new one" in document["detail"]
    assert "key" not in document


def log_in(api, code, **headers):
    return api.post("/login", json={"code": code}, headers=headers)


def test_a_code_is_exchanged_once_for_a_key_of_its_scopes_that_expires(api, store, logins):
    code = store.follow(logins.create([READ], by="ann@desk", expires_s=HOUR_S))
    before = clock()
    answer = log_in(api, code)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    key = {"X-API-Key": answer.json()["key"]}
    assert api.get("/agents", headers=key).status_code == 200
    assert problem_of(api.post("/halt", headers=key), 403)
    (stored,) = store.follow(read_keys())
    assert re.fullmatch(r"browser-ann-desk-[0-9a-f]{8}", stored.name)
    assert (stored.scopes, stored.created_by) == ((READ,), "ann@desk")
    hour = timedelta(seconds=HOUR_S)
    assert before <= stored.expires_at - hour <= clock()
    for given in ({}, key, {"X-API-Key": "s" * 30}):
        refused(log_in(api, code, **given))
    entries = [(one.action, one.who, one.why) for one in store.follow(read_entries(limit=9))]
    assert entries == [
        ("add-login", "ann@desk", ""),
        ("add-key", "ann@desk", "login from 127.0.0.1"),
    ]


def test_of_many_at_once_one_gets_the_key(api, store, code):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: log_in(api, code), range(48)))
    assert sorted(one.status_code for one in answers) == [200] + [401] * 47
    assert len(store.follow(read_keys())) == 1


def test_a_code_expires(api, store, code):
    name = keys.login(digest_of(code.encode()))
    assert LIFE_S - 60 < store.run(command("TTL", name, decode=int)) <= LIFE_S
    assert store.run(command("PEXPIRE", name, 1, decode=bool))
    while store.run(command("EXISTS", name, decode=bool)):
        pass
    refused(log_in(api, code))
    assert store.follow(read_keys()) == ()


def test_valkey_has_no_code_and_no_token(api, store, code):
    def stored(secret):
        names = store.run(command("KEYS", "orchestrator:*", decode=list))
        dumps = [store.run(command("DUMP", name, decode=bytes)) for name in names]
        assert dumps
        return [name for name, dump in zip(names, dumps, strict=True) if secret in name + dump]

    assert stored(code.encode()) == []
    token = log_in(api, code).json()["key"]
    assert stored(token.removeprefix("orch_").encode()) == []


@pytest.mark.parametrize("length", [0, 1, 43, 4000])
@pytest.mark.parametrize("sign", ["A", "ü", "\0", "\ud800", "*", "\n"])
def test_what_is_no_code_gets_nothing(api, store, code, sign, length):
    body = json.dumps({"code": sign * (length // len(json.dumps(sign)[1:-1]))})
    refused(api.post("/login", content=body))
    assert store.follow(read_keys()) == ()
    # The login that is stored remains one.
    assert log_in(api, code).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 422), ("{}", 422), ("[]", 422), ('{"code": null}', 422), ('{"code": 1}', 422),
        ('{"code": ["x"]}', 422), ('{"code": "x", "scopes": ["kill"]}', 422), ("{", 422),
        (json.dumps({"code": "x" * 4096}), 413), (json.dumps({"code": "x" * 2**20}), 413),
    ],
)  # fmt: skip
def test_a_malformed_body_is_named(api, body, status):
    problem_of(api.post("/login", content=body), status)


def test_the_page_of_another_origin_cannot_log_in(api, store, code):
    for headers, status in (
        ({"Origin": "http://localhost:5173"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
    ):
        problem_of(log_in(api, code, **headers), status)
    assert api.get("/login").status_code == 405
    assert log_in(api, code).status_code == 200


def test_a_server_that_requires_no_key_makes_none(valkey_url, store, code):
    """Else the first login would lock out every client that has no key."""
    with serving(valkey_url, **ENV) as (api, _):
        for given in (code, "garbage"):
            answer = log_in(api, given)
            assert (answer.status_code, answer.json()) == (200, {})
        assert api.get("/agents").status_code == 200
        assert store.follow(read_keys()) == ()
        # A stored key requires one, as that of the settings does.
        store.follow(wiring.api_keys(load_settings(ENV)).add("ci", [READ], by="ann"))
        refused(log_in(api, "garbage"))
        assert "key" in log_in(api, code).json()


def test_without_valkey_the_code_is_not_spent(unused_port, api, code):
    with serving(f"redis://127.0.0.1:{unused_port}/0", ORCHESTRATOR_API_KEY="s" * 30) as (cut, _):
        problem_of(log_in(cut, code), 503)
    assert log_in(api, code).status_code == 200


def test_a_login_removes_the_expired_keys_of_browsers_only(api, store, logins, code):
    past = clock() - timedelta(seconds=1)
    for name, expires_at in (
        ("browser-old", past), ("browser-new", clock() + timedelta(hours=1)),
        ("browser-always", None), ("ci-old", past),
    ):  # fmt: skip
        adding = logins.api_keys.add(name, [READ], by="ann", expires_at=expires_at)
        store.follow(adding)
    assert log_in(api, code).status_code == 200
    listed = {one.name for one in store.follow(read_keys())}
    (own,) = listed - {"browser-new", "browser-always", "ci-old"}
    assert own.startswith("browser-ann")
    assert len(listed) == 4


@pytest.mark.parametrize("by", ["ann@" + "host." * 50, "ö ☃@x", "", "../../x:*"])
def test_any_name_of_a_person_makes_a_name_of_a_key(api, store, logins, by):
    code = store.follow(logins.create([READ], by=by, expires_s=HOUR_S))
    token = log_in(api, code).json()["key"]
    assert api.get("/agents", headers={"X-API-Key": token}).status_code == 200


def test_the_command_prints_an_address_that_logs_in(api, store, valkey_url, monkeypatch, tmp_path):
    monkeypatch.setenv("VALKEY_URL", valkey_url)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_PORT", str(api.base_url.port))
    monkeypatch.setenv("ORCHESTRATOR_SIGNING_KEY", ENV["ORCHESTRATOR_SIGNING_KEY"])

    def orch(*arguments, code=0):
        ran = CliRunner().invoke(main, ["dashboard", *arguments])
        assert ran.exit_code == code, ran.output
        return ran

    def logged_in(address):
        start, _, code = address.partition("/#login=")
        token = httpx.post(f"{start}/login", json={"code": code}).json()["key"]
        (key,) = [one for one in store.follow(read_keys()) if one.name not in known]
        known.add(key.name)
        answer = httpx.get(f"{start}/agents", headers={"X-API-Key": token})
        return key, answer.status_code

    known = set()
    ran = orch()
    assert ran.stderr == "orch: it works once, within 5 minutes\n"
    key, status = logged_in(ran.stdout.removesuffix("\n"))
    assert (set(key.scopes), status) == (set(KeyScope), 200)
    assert key.expires_at - key.created_at == pytest.approx(
        timedelta(hours=12), abs=timedelta(seconds=1)
    )
    ran = orch("--scope=kill", "--scope=audit", "--expires=90s", "--json")
    assert ran.stderr == ""
    key, status = logged_in(json.loads(ran.stdout)["url"])
    assert (key.scopes, status) == (("audit", "kill"), 403)
    assert timedelta(seconds=89) < key.expires_at - key.created_at < timedelta(seconds=91)
    for wrong in ("--scope=root", "--expires=0", "--expires=never", "--expires=99999999999d"):
        orch(wrong, code=2)
    assert store.run(command("KEYS", "orchestrator:login:*", decode=list)) == []
