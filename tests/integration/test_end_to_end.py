"""The main job, nothing mocked: a real remote, agent process, git, Valkey, Celery workers."""

from __future__ import annotations

import json
import socket
import urllib.request
import uuid
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.integration.conftest import SAMPLE, System, git, make_remote
from tests.processes import eventually

GOOD_CHANGE = (
    {"write": {"path": "calc.py", "content": SAMPLE["calc.py"] + "\n\nTWO = add(1, 1)\n"}},
    {"tokens": {"input": 120, "output": 30}},
    {"say": "Added TWO."},
)


def request_body(remote: Path, *items: str, **changes: object) -> dict[str, object]:
    context = {"repository": str(remote), "branch": "main", "workItems": list(items)}
    document = {"taskId": str(uuid.uuid4()), "agentType": "worker", "gateProfile": "minimal"}
    return {**document, "context": context, **changes}


def assert_pushed(remote: Path, outcome: dict, profile: str = "minimal") -> None:
    """The outcome names a branch whose only new commit is the agent's, with its trailers."""
    agent_id, commit = outcome["agentId"], outcome["commit"]
    assert outcome["status"] == "completed", outcome["error"]
    assert outcome["branch"] == f"agent/{agent_id}"
    assert git("rev-parse", f"refs/heads/agent/{agent_id}", cwd=remote) == commit
    assert git("rev-list", "--count", f"main..{commit}", cwd=remote) == "1"
    assert git("rev-parse", f"{commit}^{{tree}}", cwd=remote) == outcome["verdict"]["tree"]
    trailers = git("log", "-1", "--format=%(trailers:only,unfold)", commit, cwd=remote)
    assert trailers.splitlines() == [
        f"Agent-Id: {agent_id}",
        f"Task-Id: {outcome['taskId']}",
        f"Gate-Profile: {profile}",
    ]


def post(system: System, body: dict[str, object]) -> str:
    """Spawn an agent by HTTP; returns its id."""
    request = urllib.request.Request(
        f"{system.api}/agents/spawn",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        assert response.status == 201
        agent_id = json.load(response)["agentId"]
        assert response.headers["Location"] == f"/agents/{agent_id}/status"
    return str(agent_id)


def test_cli_spawn_ends_with_a_pushed_branch(system, remote, script):
    ran = system.orch(
        "spawn", f"--repo={remote}", "--branch=main", f"--item={script(*GOOD_CHANGE)}",
        "--gate-profile=minimal", "--wait", "--json",
    )  # fmt: skip
    outcome = json.loads(ran.stdout)
    assert_pushed(remote, outcome)
    assert outcome["usage"]["totalTokens"] == 150
    assert outcome["verdict"]["approved"] is True
    assert outcome["verdict"]["gates"] == {"tests": "passed"}
    assert outcome["error"] is None
    log = git("log", "-1", "--format=%B", outcome["commit"], cwd=remote)
    assert log.startswith("Added TWO.")


def test_http_spawn_ends_with_a_pushed_branch(system, remote, script):
    agent_id = post(system, request_body(remote, script(*GOOD_CHANGE)))
    assert_pushed(remote, system.wait(agent_id))


def test_a_stock_celery_client_spawns_and_gets_the_outcome(system, remote, script):
    """Nothing of ours is imported, no transport option set: broker and backend, that is all."""
    app = Celery("coordinator", broker=system.valkey, backend=system.valkey)
    agent_id = str(uuid.uuid4())
    with app:
        app.send_task(
            "orchestrator.spawn",
            kwargs={"request": request_body(remote, script(*GOOD_CHANGE))},
            queue="spawn",
            task_id=agent_id,
        )
        outcome = app.AsyncResult(agent_id).get(timeout=300)
    assert outcome["agentId"] == agent_id
    assert_pushed(remote, outcome)
    state = json.loads(system.orch("status", agent_id, "--json").stdout)
    assert state["priority"] == 5


def test_a_raw_request_that_is_wrong_is_answered_with_its_faults(system):
    app = Celery("coordinator", broker=system.valkey, backend=system.valkey)
    with app:
        sent = app.send_task(
            "orchestrator.spawn", kwargs={"request": {"taskId": "t"}}, queue="spawn"
        )
        outcome = app.AsyncResult(sent.id).get(timeout=120)
    assert (outcome["status"], outcome["errorCode"]) == ("failed", "request_invalid")
    assert "agentType" in outcome["error"]
    assert "context" in outcome["error"]


def test_a_raw_task_id_that_could_name_another_thing_is_refused(system, remote):
    app = Celery("coordinator", broker=system.valkey, backend=system.valkey)
    task_id = "../escape:log"
    with app:
        body = request_body(remote, "x")
        app.send_task(
            "orchestrator.spawn", kwargs={"request": body}, queue="spawn", task_id=task_id
        )
        outcome = app.AsyncResult(task_id).get(timeout=120)
    assert outcome["errorCode"] == "request_invalid"


def test_who_asked_for_an_agent_stands_in_the_audit(system, remote, script):
    """Whichever way it was asked for; soon after, for the sweep takes it in."""
    body = request_body(remote, script({"fail": 1}))
    by_cli = system.spawn(remote, script({"fail": 1}))
    by_http = post(system, body)
    with Celery("stock", broker=system.valkey, backend=system.valkey) as stock:
        by_broker = str(
            stock.send_task("orchestrator.spawn", kwargs={"request": body}, queue="spawn").id
        )

    def who(agent_id: str) -> list[str]:
        shown = json.loads(system.orch("audit", "--agent", agent_id, "--json").stdout)["entries"]
        return [entry["who"] for entry in shown if entry["action"] == "spawn"]

    eventually(lambda: all(map(who, (by_cli, by_http, by_broker))))
    assert [who(by_http), who(by_broker)] == [["HTTP 127.0.0.1"], ["broker"]]
    assert who(by_cli)[0].endswith(f"@{socket.gethostname()}")
    assert system.orch("audit", "--verify").stdout.startswith("intact")


def test_flower_shows_the_agents_tasks_under_its_id(system, ask_flower, remote, script):
    outcome = system.wait(system.spawn(remote, script(*GOOD_CHANGE)))
    agent_id = outcome["agentId"]
    for task_id, name in ((agent_id, "spawn"), (f"{agent_id}.gate_check.1", "gate_check")):
        status, page = ask_flower(f"/task/{task_id}")
        assert status == 200
        assert f"orchestrator.{name}" in page
        assert agent_id in page


def test_nothing_of_an_agent_is_left_but_its_state_its_log_and_its_reports(system, remote, script):
    agent_id = system.wait(system.spawn(remote, script(*GOOD_CHANGE)))["agentId"]
    with redis.Redis.from_url(system.valkey, decode_responses=True) as client:
        seen = "0-0"
        while True:
            ((_, entries),) = client.xread({"orchestrator:events:stream": seen}, block=5000)
            seen = entries[-1][0]
            events = [json.loads(fields["event"]) for _, fields in entries]
            if ("agent.cleanup", agent_id) in {
                (event["type"], event["agentId"]) for event in events
            }:
                break
        kinds = ("agent", "request", "log", "gates", "trail")
        kept = {f"orchestrator:{kind}:{agent_id}" for kind in kinds}
        found = set(client.scan_iter(f"*{agent_id}*", count=1000))
        assert found == {*kept, f"celery-task-meta-{agent_id}"}
    assert not list((system.home / "workspaces").glob(f"{agent_id}*"))
    assert not list((system.home / "candidates").glob(f"{agent_id}*"))


FAILURES = {
    "exits-non-zero": ([{"say": "no"}, {"fail": 3}], "agent_failed"),
    "crashes": ([{"signal": 9}], "agent_crashed"),
    "prints-garbage": ([{"print": "\x00\xff not json {"}, {"fail": 0}], "agent_garbled"),
    # Its result stands in the same line, and is found: that it changed nothing is all it is told.
    "prints-100-MB": ([{"print": {"text": "x", "repeat": 100_000_000}}], "change_empty"),
    "changes-nothing": ([{"say": "nothing to do"}], "change_empty"),
    "deletes-its-worktree": ([{"run": 'rm -rf "$PWD"'}], "workspace_lost"),
    "breaks-tests": ([{"write": {"path": "calc.py", "content": "add = 0\n"}}], "gates_rejected"),
}  # fmt: skip


@pytest.fixture(scope="module")
def failed(system, tmp_path_factory):
    """Spawn every failing agent at once, beside each other, and gather their outcomes."""
    import yaml

    remote = make_remote(tmp_path_factory.mktemp("failing"), SAMPLE)
    ids = {
        name: system.spawn(remote, yaml.safe_dump({"steps": steps}))
        for name, (steps, _) in FAILURES.items()
    }
    ids["no-such-repository"] = system.spawn(remote.parent / "absent.git", "x")
    empty = remote.parent / "empty.git"
    git("init", "-q", "--bare", str(empty), cwd=remote.parent)
    ids["empty-repository"] = system.spawn(empty, "x")
    refusing = make_remote(tmp_path_factory.mktemp("refusing"), SAMPLE)
    hook = refusing / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'agents may not push here' >&2\nexit 1\n")
    hook.chmod(0o755)
    ids["push-refused"] = system.spawn(refusing, yaml.safe_dump({"steps": list(GOOD_CHANGE)}))
    return {name: system.wait(agent_id) for name, agent_id in ids.items()}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *((name, code) for name, (_, code) in FAILURES.items()),
        ("no-such-repository", "repository_unavailable"),
        ("empty-repository", "repository_empty"),
        ("push-refused", "push_refused"),
    ],
)
def test_each_failure_has_a_code_and_a_next_step_and_leaves_nothing(system, failed, name, code):
    outcome = failed[name]
    assert (outcome["status"], outcome["errorCode"]) == ("failed", code), outcome["error"]
    assert outcome["error"]
    assert "\n" not in outcome["error"]
    assert outcome["commit"] is None
    assert not list((system.home / "workspaces").glob(f"{outcome['agentId']}*"))


def test_an_unknown_branch_is_a_typed_failure(system, remote):
    ran = system.orch(
        "spawn", f"--repo={remote}", "--branch=nope", "--item=x", "--wait", "--json", check=False
    )
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["errorCode"] == "branch_unknown"


def test_the_workers_go_on_serving_after_every_failure(system, failed, remote, script):
    assert_pushed(remote, system.wait(system.spawn(remote, script(*GOOD_CHANGE))))


def test_secret_settings_reach_neither_state_nor_log(system, remote, script):
    outcome = system.wait(system.spawn(remote, script({"run": "env"}, *GOOD_CHANGE)))
    logs = system.orch("logs", outcome["agentId"]).stdout
    assert f"ORCH_AGENT_ID={outcome['agentId']}" in logs
    for name in ("VALKEY", "API_KEY", "ORCHESTRATOR_"):
        assert name not in logs
