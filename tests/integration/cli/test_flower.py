"""Flower as `orch up --flower` starts it: a login, nothing to press, ids, ten priorities."""

from __future__ import annotations

import asyncio
import json

import psutil
from flower.utils.broker import Broker

import celeryconfig
from orchestrator.messages import QUEUES, SPAWN_TASK, StageMessage
from orchestrator.store import kills
from tests.processes import eventually
from tests.script_calls import NOW
from workers.flower import _ByPriority

PAGES = ("/", "/workers", "/worker/spawn@x", "/tasks", "/task/x", "/broker", "/metrics")
API = ("/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length", "/api/task/info/x")
CONTROLS = (
    *(f"/api/worker/{what}/spawn@x" for what in ("shutdown", "pool/restart", "pool/grow")),
    *(f"/api/worker/{what}/spawn@x" for what in ("pool/shrink", "pool/autoscale")),
    *(f"/api/worker/queue/{what}/spawn@x" for what in ("add-consumer", "cancel-consumer")),
    *(f"/api/task/{what}/orchestrator.spawn" for what in ("apply", "async-apply", "send-task")),
    *(f"/api/task/{what}/x" for what in ("abort", "timeout", "rate-limit", "revoke")),
)


def test_without_the_login_there_is_nothing_to_see_and_with_it_nothing_to_press(ask_flower):
    for path in (*PAGES, *API):
        assert ask_flower(path, is_known=False)[0] == 401, path
    for path in CONTROLS:
        assert ask_flower(path, is_known=False, method="POST", data=b"")[0] == 401, path
        assert ask_flower(path, method="POST", data=b"")[0] == 403, path
    for path in ("/", "/tasks", "/broker", "/metrics"):
        assert ask_flower(path)[0] == 200, path


def test_the_password_is_in_no_argument_list_and_no_file_that_others_read(system):
    password = (system.home / "flower-password").read_text()
    ours = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(system.home) in " ".join(process.info["cmdline"] or ())
    ]
    assert ours
    assert not any(password in " ".join(process.info["cmdline"]) for process in ours)
    holders = [
        path
        for path in system.home.rglob("*")
        if path.is_file() and path.stat().st_size < 10**6 and password.encode() in path.read_bytes()
    ]
    assert {path.name for path in holders} == {"flower-password", "flowerconfig.py"}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


def test_agents_stand_there_by_their_id_and_arguments_are_ids_only(
    system, remote, script, ask_flower
):
    word = "wordthatmustnotbeshown"
    agent_id = system.spawn(remote, script({"say": word}))
    system.wait(agent_id)

    def tasks():
        found = json.loads(ask_flower("/api/tasks")[1])
        ours = {name: task for name, task in found.items() if name.startswith(agent_id)}
        return ours if f"{agent_id}.cleanup.1" in ours else None

    found = eventually(tasks)
    assert found[agent_id]["name"] == SPAWN_TASK
    assert (found[agent_id]["args"], found[agent_id]["kwargs"]) == ("()", "{}")
    for name, task in found.items():
        if name != agent_id:
            assert task["kwargs"] == repr({"agent_id": agent_id, "attempt": 1})
    assert word not in json.dumps(found)
    assert ask_flower(f"/task/{agent_id}")[0] == 200
    page = ask_flower("/broker")[1]
    for queue in QUEUES:
        for priority in range(1, 11):
            assert f"<td>{queue}, priority {priority}</td>" in page


def test_the_broker_page_counts_each_priority(store, valkey_url):
    for number, priority in enumerate((10, 5, 5, 1)):
        message = StageMessage(SPAWN_TASK, "spawn", str(number), priority)
        store.run(kills.enqueue(message, now=NOW, tag=str(number)))
    options = celeryconfig.broker_transport_options

    async def rows():
        broker = Broker(valkey_url, broker_options=options)
        broker.priority_steps = (0,)
        return await _ByPriority(broker).queues([])

    found = {row["name"]: row["messages"] for row in asyncio.run(rows())}
    assert len(found) == len(QUEUES) * 11
    assert {name: count for name, count in found.items() if count} == {
        "spawn": 4,
        "spawn, priority 10": 1,
        "spawn, priority 5": 2,
        "spawn, priority 1": 1,
    }
