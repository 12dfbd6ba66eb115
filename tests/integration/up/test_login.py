"""`orch up` prints a login address where the API requires a key, and the plain one elsewhere."""

from __future__ import annotations

import json
import re

import pytest

from orchestrator.audit.log import read_entries
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store.client import Store
from orchestrator.store.operations import command
from orchestrator.wiring import api_keys

KEY = {"ORCHESTRATOR_API_KEY": "s" * 30}
LOGIN = re.compile(
    r"API     http://127\.0\.0\.1:(\d+)/#login=[\w-]{43}"
    r" \(the dashboard; it works once, within 5 minutes\)"
)


@pytest.fixture
def store(machine):
    store = Store(f"redis://127.0.0.1:{machine.valkey_port}/0")
    yield store
    store.close()


def printed(machine, **env):
    code, out, err = machine.orch("up", "--detach", **env)
    assert (code, err) == (0, "")
    return out.splitlines()[0]


def logins(store):
    return store.run(command("KEYS", "orchestrator:login:*", decode=len))


def test_a_key_of_the_settings_or_a_stored_one_makes_a_login_address(machine, store):
    plain = f"API     http://127.0.0.1:{machine.api_port}"
    assert printed(machine) == plain
    machine.orch("down")
    assert LOGIN.fullmatch(printed(machine, **KEY))[1] == str(machine.api_port)
    assert logins(store) == 1
    (entry,) = store.follow(read_entries(limit=9))
    assert (entry.action, "@" in entry.who) == ("add-login", True)
    machine.orch("down")
    assert printed(machine) == plain
    settings = load_settings(machine.env)
    store.follow(api_keys(settings).add("ci", [KeyScope.READ], by="ann"))
    machine.orch("down")
    assert LOGIN.fullmatch(printed(machine))
    # The command finds the running system, whatever port the settings name now.
    code, out, _ = machine.orch("dashboard", ORCHESTRATOR_PORT="9")
    assert (code, out.partition("/#login=")[0]) == (0, plain.split()[1])
    machine.orch("down")


def test_a_script_gets_no_code(machine, store):
    code, out, _ = machine.orch("up", "--detach", "--json", **KEY)
    assert code == 0
    assert json.loads(out).keys() == {"api", "valkey", "pids"}
    assert json.loads(out)["api"] == f"http://127.0.0.1:{machine.api_port}"
    assert logins(store) == 0
    machine.orch("down")


def test_an_audit_that_refuses_entries_prevents_no_start(machine, store):
    printed(machine, **KEY)
    machine.orch("down")
    (machine.home / "signing.key").unlink()
    code, out, err = machine.orch("up", "--detach", **KEY)
    assert code == 0
    assert out.splitlines()[0] == f"API     http://127.0.0.1:{machine.api_port}"
    assert err.startswith("orch: no login address: ")
    machine.orch("down")
