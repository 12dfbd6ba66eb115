"""An operator's night with an API and a key alone: no way to Valkey, no file of the host."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from orchestrator import wiring
from orchestrator.cli import main
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.errors import BackendUnavailable, PushFailed
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import KeyScope
from orchestrator.settings import load_settings
from orchestrator.store import agents, keys
from orchestrator.store.events import read_events
from orchestrator.store.operations import command
from orchestrator.wiring import clock, new_id
from tests.conftest import free_port
from tests.integration.api.conftest import serving
from tests.integration.test_cli_ids import fail, spawn

SIGNED = {"ORCHESTRATOR_SIGNING_KEY": "k" * 64, "ORCHESTRATOR_SPAWN_RATE": "0"}


@pytest.fixture
def orch(store, valkey_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VALKEY_URL", raising=False)
    token = store.follow(wiring.api_keys(load_settings(SIGNED)).add("ann", [*KeyScope], by="test"))
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", token)
    with serving(valkey_url, **SIGNED) as (client, _):
        address = str(client.base_url)

        def run(*arguments, code=0, stdin=None, api=address):
            ran = CliRunner().invoke(main, ["--api", api, *arguments], input=stdin)
            assert ran.exit_code == code, (ran.output, ran.exception)
            return ran

        yield run
    # Whoever comes next on this Valkey has no key.
    store._client.call("FLUSHALL")


def test_the_drill_of_an_operator(orch, store):
    holder = AgentLeases(store, clock, new_id, "spawn@here", 30.0, "1:1")
    groups = {"push_failed": PushFailed(), "backend_unavailable": BackendUnavailable()}
    failed = {code: [] for code in groups}
    for number in range(6):
        code = list(groups)[number % 2]
        failed[code].append(spawn(store, task=f"t{number}"))
        fail(holder, failed[code][-1], groups[code])
    waiting = spawn(store, task="waits")
    assert "push_failed" in orch("ls").stdout
    for code, ids in failed.items():
        assert set(orch("ls", "--code", code, "--ids").stdout.split()) == set(ids)
    assert "retry" in orch("why", failed["push_failed"][0]).stdout
    ids = orch("ls", "--code", "push_failed", "--ids").stdout
    retried = json.loads(orch("retry", "-", "--why", "mended", "--json", stdin=ids).stdout)
    assert {one["agentId"] for one in retried["agents"]} == set(failed["push_failed"])
    assert json.loads(orch("halt", "--why", "night", "--json").stdout)["halted"] is True
    assert "halted" in orch("why", waiting).stdout
    refused = orch("spawn", "--repo", "/srv/x", "--branch", "m", "--item", "x", code=1)
    assert "halted by ann: night" in refused.stderr
    assert orch("resume", "--reason", "day").stdout == "Resumed: 4 agents had been waiting\n"
    made = ("spawn", "--repo", "/srv/x", "--branch", "m", "--item", "x", "--task", "new")
    new = orch(*made).stdout.strip()
    assert store.run(agents.read(new)).task_id == "new"
    assert "5000000 tokens a day" in orch("budget", "set", "daily", "5M").stdout
    assert "running" in orch("budget").stdout
    assert orch("kill-all", "--yes", "--task", "new").stdout.startswith("Kill all completed: 1")
    assert new in orch("receipt", new[:8]).stdout
    assert "Timeline" in orch("inspect", new[:8]).stdout
    assert "agent.killed" in orch("events", "--agent", new).stdout
    entries = json.loads(orch("audit", "--limit", "100", "--json").stdout)["entries"]
    told = {(one["action"], one["who"]) for one in entries}
    assert {(name, "ann") for name in ("halt", "resume", "retry", "budget", "spawn")} <= told


def test_what_a_key_may_not_or_the_client_cannot_is_one_clear_line(orch, store, monkeypatch):
    token = store.follow(
        wiring.api_keys(load_settings(SIGNED)).add("bob", [KeyScope.READ], by="test")
    )
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", token)
    assert "may not operate" in orch("halt", code=1).stderr
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "wrong")
    assert "`orch keys add` creates one" in orch("ls", code=1).stderr
    assert "does not work over HTTP" in orch("keys", "ls", code=Exit.USAGE).stderr
    away = f"http://127.0.0.1:{free_port()}"
    ran = orch("ls", code=Exit.UNREACHABLE, api=away)
    assert "does not answer" in ran.stderr
    assert ran.stderr.count("\n") == 1
    for wrong in ("", "orch.example", "ftp://x", "https://user:pw@x"):
        assert "--api" in orch("ls", code=2, api=wrong).stderr


def test_queues_and_fsck_work_over_http(orch, store):
    assert "spawn" in orch("queues").stdout
    assert orch("queues", "pause", "spawn", "--why", "deploy").stdout == "Queue spawn paused\n"
    shown = json.loads(orch("queues", "--json").stdout)["queues"]
    (pause,) = [one["pause"] for one in shown if one["name"] == "spawn"]
    assert (pause["by"], pause["why"]) == ("ann", "deploy")
    assert orch("queues", "resume", "spawn").stdout == "Queue spawn resumed\n"
    unknown = orch("queues", "pause", "nope", code=1).stderr
    assert "nope" in unknown
    assert unknown.endswith("List them with `orch queues`. [not_found]\n")
    assert "has no such address" in orch("queues", "pause", "../halt", code=1).stderr
    assert "everything agrees" in orch("fsck").stderr
    store.run(command("ZADD", keys.LEASES, 1, "gone", decode=int))
    found = json.loads(orch("fsck", "--json", code=1).stdout)
    assert found["left"] == len(found["drifts"]) == 1
    assert "does not work over HTTP" in orch("fsck", "--fix", code=Exit.USAGE).stderr


def test_events_since_an_instant_before_the_first_one_are_all_that_there_are(orch, store):
    ids = [spawn(store, task=f"t{number}") for number in range(3)]

    def shown(*arguments):
        ran = orch("events", "--json", *arguments)
        return [one["agentId"] for one in json.loads(ran.stdout)["events"]], ran.stderr

    assert shown("--since", "1h") == (ids, "")
    events = store.run(read_events(after="0-0"))
    store.run(command("XTRIM", keys.EVENTS_STREAM, "MINID", events[1].id, decode=int))
    found, said = shown("--since", "1h")
    # The server may still have the removed ones in memory.
    assert found[-2:] == ids[1:]
    assert "were removed" in said
    assert shown("--since", events[2].id) == ([], "")
