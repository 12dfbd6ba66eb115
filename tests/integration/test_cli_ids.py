"""Short ids, several ids and `-`, filters and order of `ls`, parts of a log; by Valkey and HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.cli.output.exit_codes import Exit
from orchestrator.errors import AgentFailed, PushFailed
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import LogLine
from orchestrator.store import agent_logs, agents
from orchestrator.store.operations import command, nothing
from orchestrator.wiring import clock, new_id, submit_service
from tests.integration.api.conftest import serving

HOUR = timedelta(hours=1)


@pytest.fixture
def holder(store):
    return AgentLeases(store, clock, new_id, "spawn@here", 30.0, "1:1")


@pytest.fixture(params=["valkey", "http"])
def orch(request, store, valkey_url, tmp_path, monkeypatch):
    """Run a command in this process, by each of the two clients."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0, stdin=None):
        ran = CliRunner().invoke(main, arguments, prog_name="orch", input=stdin)
        assert ran.exit_code == code, (ran.output, ran.exception)
        return ran

    if request.param == "valkey":
        monkeypatch.setenv("VALKEY_URL", valkey_url)
        yield run
        return
    with serving(valkey_url) as (client, _):
        monkeypatch.delenv("VALKEY_URL", raising=False)
        monkeypatch.setenv("ORCHESTRATOR_API_URL", str(client.base_url))
        yield run


def spawn(store, agent_id="", repo="/srv/shop.git", **context):
    body = {
        "taskId": context.pop("task", "t"),
        "agentType": "worker",
        "context": {"repository": repo, "branch": "main", "workItems": ["x"]},
    }
    service = submit_service(_settings())
    return store.run(service.submit(body, agent_id=agent_id or new_id(), by="test")).agent_id


def _settings():
    from orchestrator.settings import load_settings

    return load_settings({"ORCHESTRATOR_AGENT": "scripted"})


def fail(holder, agent_id, error):
    agent = holder.start(holder.claim(agent_id), base_commit="b" * 40)
    holder.fail(agent, error)


def test_a_unique_prefix_is_an_id_everywhere(orch, store, holder):
    agent_id = spawn(store, "abcdef01-0000-4000-8000-000000000001")
    fail(holder, agent_id, AgentFailed())
    for verb in ("status", "why", "inspect", "logs", "gates", "wait"):
        assert orch(verb, "abcdef0", code=1 if verb == "wait" else 0)
    assert json.loads(orch("status", "abcdef", "--json").stdout)["agentId"] == agent_id
    assert agent_id in orch("events", "--agent", "abcdef").stdout
    assert orch("retry", "abcdef").stdout.strip() != agent_id
    assert "has already failed" in orch("kill", "abcdef", code=1).stderr
    orch("halt")
    assert "retry" in orch("audit", "--agent", "abcdef").stdout


def test_an_ambiguous_prefix_lists_candidates_and_does_nothing(orch, store):
    ids = [spawn(store, f"abcdef0{n}-0000-4000-8000-000000000001") for n in range(2)]
    ran = orch("kill", "abcdef", code=Exit.USAGE)
    for agent_id in ids:
        assert agent_id in ran.stderr
        assert store.run(agents.read(agent_id)).status == "spawning"
    assert orch("kill", ids[0]).stdout == f"Agent {ids[0]} killed successfully\n"
    assert "There is no agent abc." in orch("status", "abc", code=1).stderr
    assert "There is no agent abcdef*" in orch("status", "abcdef*", code=1).stderr


def test_an_id_that_begins_another_is_itself(orch, store):
    ids = [spawn(store, name) for name in ("nightly", "nightly-2")]
    assert json.loads(orch("status", "nightly", "--json").stdout)["agentId"] == ids[0]


def test_several_ids_and_standard_input(orch, store):
    ids = [spawn(store) for _ in range(3)]
    done = orch(
        "kill", ids[0], "nobody", "-", "--json", code=1, stdin=f"{ids[1]}\n{ids[2]} {ids[0]}"
    )
    answers = json.loads(done.stdout)["agents"]
    assert [one["agentId"] for one in answers] == [ids[0], "nobody", *ids[1:]]
    assert answers[1]["errorCode"] == "not_found"
    assert {store.run(agents.read(name)).status for name in ids} == {"killed"}
    retried = json.loads(orch("retry", "-", "--json", stdin="\n".join(ids[:2])).stdout)["agents"]
    assert {one["agentId"] for one in retried} == set(ids[:2])
    assert all(store.run(agents.read(one["retriedAs"])) for one in retried)
    assert "no id" in orch("kill", "-", code=2, stdin=" \n").stderr
    for verb in ("status", "why", "inspect", "receipt"):
        assert len(json.loads(orch(verb, *ids, "--json").stdout)["agents"]) == 3


def test_ls_filters_sorts_and_prints_ids(orch, store, holder):
    shop, other = spawn(store, task="b"), spawn(store, repo="/srv/group/pay.git", task="a")
    fail(holder, other, PushFailed())

    def listed(*options):
        return orch("ls", "--ids", *options).stdout.split()

    assert set(listed()) == {shop, other}
    assert listed("--repo", "/srv/shop.git") == listed("--repo", "shop") == [shop]
    assert listed("--repo", "group/pay") == listed("--code", "push_failed") == [other]
    assert listed("--repo", "hop") == []
    assert listed("--sort", "task") == [other, shop]
    assert listed("--sort", "newest") == [other, shop]
    assert listed("--sort", "oldest", "--limit", "1") == [shop]
    assert listed("--attention", "--repo", "shop") == []
    assert listed("--attention") == [other]
    key, ago = "orchestrator:agent:" + shop, datetime.now(UTC) - HOUR
    stored = json.loads(store._client.call("GET", key))
    stored["spawnedAt"] = f"{ago:%Y-%m-%dT%H:%M:%S}.000Z"
    store._client.call("SET", key, json.dumps(stored))
    store.run(command("ZADD", "orchestrator:agents", ago.timestamp() * 1000, shop, decode=nothing))
    assert listed("--since", "30m") == [other]
    assert set(listed("--since", "2h")) == {shop, other}
    assert listed("--sort", "tokens", "--since", ago.isoformat())[0]


def test_logs_have_an_end_a_beginning_and_a_filter(orch, store, holder):
    agent = holder.start(holder.claim(spawn(store)), base_commit="b" * 40)
    name = agent.agent_id
    assert orch("logs", name, "--tail", "5").stdout == ""
    lines = [LogLine(at=clock(), source="agent", text=f"line {n}\x1b[0m!") for n in range(10)]
    assert store.run(agent_logs.append_log(name, agent.attempt, lines, cap=1000))

    def shown(*options):
        found = json.loads(orch("logs", name, "--json", *options).stdout)["lines"]
        return [int(line["text"][5]) for line in found]

    assert shown() == list(range(10))
    assert shown("--tail", "2") == [8, 9]
    assert shown("-n", "0") == []
    assert shown("--grep", "[135]!") == [1, 3, 5]
    assert shown("--grep", "[135]!", "--tail", "2") == [3, 5]
    assert shown("--since", "1h", "--tail", "1") == [9]
    assert shown("--since", (clock() + HOUR).isoformat()) == []
    assert "no regular expression" in orch("logs", name, "--grep", "(", code=2).stderr
    holder.fail(agent, AgentFailed())
    followed = orch("logs", name, "-f", "--tail", "1").stdout
    assert followed.count("\n") == 1
    assert "line 9" in followed


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["statu", "x"], "status"),
        (["ls", "--staus", "running"], "--status"),
        (["ls", "--status", "runing"], "running"),
        (["ls", "--sort", "token"], "tokens"),
        (["spawn", "--repo", "/x", "--branch", "m", "--item", "x", "--type", "wroker"], "worker"),
        (["budget", "set", "dayly", "5"], "daily"),
        (["queues", "paus", "spawn"], "pause"),
        (["events", "--type", "agent.fail"], "agent.failed"),
    ],
)
def test_what_is_mistyped_is_named(typed, meant):
    ran = CliRunner().invoke(main, typed, prog_name="orch")
    assert ran.exit_code == 2
    assert meant in ran.stderr.partition("Did you mean")[2]
