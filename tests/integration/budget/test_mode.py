"""The mode of the budget at run time: audited, by each way in, and in force for running agents."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from orchestrator.audit.log import read_entries
from orchestrator.cli import main
from orchestrator.errors import BudgetExhausted, LimitInvalid
from orchestrator.settings import load_settings
from orchestrator.store import leases
from orchestrator.store.budget import publish
from tests.integration.api.conftest import serving
from tests.integration.budget.conftest import LIMITS, Fleet


def test_running_agents_obey_a_mode_that_is_set_while_they_run(fleet, store):
    agent = fleet.running()
    assert fleet.spend(agent, 499) == ""
    store.follow(fleet.budget.set("mode", "soft", by="me", why="release"))
    assert fleet.spend(agent, 2000) == ""
    assert store.run(leases.heartbeat(agent, lease_s=30, now=fleet.at)) == "held"
    assert fleet.spawn(), "no spawn is refused"
    assert [one.error_code for one in fleet.events("agent.warning")] == ["budget_exceeded"]
    store.follow(fleet.budget.set("mode", "hard", by="me", why="over"))
    assert store.run(leases.heartbeat(agent, lease_s=30, now=fleet.at)) not in {"held", "lost"}
    with pytest.raises(BudgetExhausted):
        fleet.spawn()


def test_default_restores_the_mode_of_the_settings_and_a_later_start_does_not(store, tmp_path):
    fleet = Fleet(store, tmp_path, BUDGET_MODE="soft")
    assert fleet.summary().limits.mode == "soft"
    store.follow(fleet.budget.set("mode", "hard", by="me", why=""))
    store.run(publish(fleet.settings))
    assert (fleet.summary().limits.mode, fleet.summary().limits.changed) == ("hard", ("mode",))
    store.follow(fleet.budget.set("mode", "default", by="me", why=""))
    assert (fleet.summary().limits.mode, fleet.summary().limits.changed) == ("soft", ())


@pytest.mark.parametrize("wrong", ["", "medium", "Hard", "1", "none"])
def test_another_mode_is_refused_and_nothing_changes(fleet, store, wrong):
    with pytest.raises(LimitInvalid, match="mode: "):
        store.follow(fleet.budget.set("mode", wrong, by="me", why=""))
    assert fleet.summary().limits.changed == ()
    assert store.follow(read_entries(limit=10)) == ()


@pytest.fixture(params=["valkey", "http"])
def orch(request, store, valkey_url, tmp_path, monkeypatch):
    """Run `orch budget` in this process, by each of the two clients."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))

    def run(*arguments, code=0):
        ran = CliRunner().invoke(main, ["budget", *arguments], prog_name="orch")
        assert ran.exit_code == code, (ran.output, ran.exception)
        return ran

    if request.param == "valkey":
        monkeypatch.setenv("VALKEY_URL", valkey_url)
        yield run
        return
    with serving(valkey_url) as (client, _):
        monkeypatch.setenv("ORCHESTRATOR_API_URL", str(client.base_url))
        yield run


def test_orch_budget_set_mode(orch, store):
    assert "soft" in orch("set", "mode", "soft", "--why", "release").stdout
    shown = json.loads(orch("--json").stdout)["limits"]
    assert (shown["mode"], shown["changed"]) == ("soft", ["mode"])
    assert "mode" in orch("set", "mode", "sfot", code=2).stderr
    assert json.loads(orch("set", "mode", "default", "--json").stdout)["mode"] == "hard"
    entries = [one for one in store.follow(read_entries(limit=10)) if one.action == "budget"]
    assert [(one.scope, one.result, one.why) for one in entries] == [
        ("mode", "mode soft", "release"),
        ("mode", "mode default", ""),
    ]
    assert '"mode":"hard"' in entries[0].before


def test_over_http_a_wrong_value_beside_the_mode_changes_nothing(store, valkey_url):
    store.run(publish(load_settings(LIMITS)))
    with serving(valkey_url) as (http, _):
        wrong = {"mode": "soft", "daily": 0}
        assert http.patch("/budget", json=wrong).status_code == 422
        assert http.patch("/budget", json={"mode": "medium"}).status_code == 422
        assert http.get("/budget").json()["limits"]["mode"] == "hard"
        both = {"mode": "soft", "daily": 5000, "reason": "release"}
        assert http.patch("/budget", json=both).json()["mode"] == "soft"
