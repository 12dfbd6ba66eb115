"""An operator's night: 60 agents of mixed ends, seen and put right through `orch --api` alone."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from orchestrator.errors import (
    BackendUnavailable,
    BudgetExceeded,
    GatesRejected,
    PushFailed,
    PushRefused,
)
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.store import agents
from orchestrator.wiring import clock, new_id
from tests.integration.test_cli_api import orch
from tests.integration.test_cli_ids import fail, spawn

__all__ = ["orch"]

#: Error → number of agents; with 7 completed, 8 running and 8 waiting ones they are 60.
FAILED = {
    PushFailed: 14, PushRefused: 5, BudgetExceeded: 9, BackendUnavailable: 6, GatesRejected: 3,
}  # fmt: skip
COMPLETED, RUNNING, WAITING = 7, 8, 8


@pytest.fixture
def fleet(store):
    holder = AgentLeases(store, clock, new_id, "spawn@here", 3600.0, "1:1")
    for kind, count in FAILED.items():
        for number in range(count):
            agent_id = spawn(store, task=f"{kind.code}-{number}", repo="/srv/group/shop.git")
            fail(holder, agent_id, kind(f"{kind.code} of {number}."))
    for number in range(COMPLETED):
        agent = run(holder, spawn(store, task=f"done-{number}"))
        holder.enqueue_for_gates(agent, {}, b"change")
        patch = {"branch": f"agent/done-{number}", "commit": "c" * 40}
        holder.complete(holder.claim_for_gates(agent.agent_id, 1), patch)
    for number in range(RUNNING):
        run(holder, spawn(store, task="leaks" if number < 5 else f"runs-{number}"))
    for number in range(WAITING):
        spawn(store, task=f"waits-{number}")
    return holder


def run(holder, agent_id):
    return holder.start(holder.claim(agent_id), base_commit="b" * 40)


def test_the_night_of_an_operator(orch, store, fleet):
    orch("queues", "pause", "spawn", "--why", "deploy of the day")

    def as_json(*arguments, **options):
        return json.loads(orch(*arguments, "--json", **options).stdout)

    # What is wrong, by cause: the most urgent first.
    screen = as_json("top")
    assert screen["counts"] == {
        "spawning": WAITING, "running": RUNNING, "completed": COMPLETED, "failed": 37, "killed": 0,
    }  # fmt: skip
    causes = Counter(one["code"] for one in screen["attention"].values())
    assert {kind.code: count for kind, count in FAILED.items()}.items() <= causes.items()
    assert causes["queue_paused"] == WAITING, causes
    # Each cause says in one command what helps, and the command works from here.
    for code in causes:
        name = next(name for name, one in screen["attention"].items() if one["code"] == code)
        verb, *arguments = as_json("why", name)["command"].split()[1:]
        if verb not in {"retry", "doctor", "queues", "diff", "export"}:
            orch(verb, *arguments)
    assert "needs Valkey or this host" in orch("doctor", code=2).stderr

    # The queue goes on.
    command = as_json("why", next(iter(ids(orch, "--status", "spawning"))))["command"]
    assert command == "orch queues resume spawn"
    orch(*command.split()[1:])

    # The budget is raised, and those that it ended are retried together.
    ended = ids(orch, "--code", "budget_exceeded")
    assert "budget_exceeded" in orch("why", ended[0]).stdout
    orch("budget", "set", "agent", "5M", "--why", "release")
    assert as_json("budget", "set", "mode", "soft", "--why", "release")["mode"] == "soft"
    # While the remote is away nothing new starts, and whoever tries is told why.
    orch("halt", "--why", "the remote is away")
    refused = as_json("retry", "-", stdin="\n".join(ended), code=1)["agents"]
    assert {one["errorCode"] for one in refused} == {"halted"}
    assert as_json("resume", "--reason", "the remote answers")["waiting"] == WAITING
    retried = {}
    for code in ("push_failed", "budget_exceeded", "backend_unavailable"):
        typed = "\n".join(ids(orch, "--code", code))
        done = as_json("retry", "-", "--why", "put right", stdin=typed)["agents"]
        retried |= {one["agentId"]: one.get("retriedAs") for one in done}
    assert len(retried) == 14 + 9 + 6
    assert len(set(retried.values())) == len(retried)

    # Known causes are put aside, one leak is stopped, with proof.
    known = "\n".join(ids(orch, "--attention", "--repo", "shop", "--code", "push_refused"))
    orch("ack", "-", "--why", "ticket 7", "--for", "8h", stdin=known)
    report = as_json("kill-all", "--yes", "--task", "leaks", "--timeout", "1s", code=1)
    assert report["total"] == 5

    # A retried agent serves the task of the failed one, which needs nobody any more.
    left = Counter(one["code"] for one in as_json("top")["attention"].values())
    assert left["gates_rejected"] == 3
    assert not {"push_failed", "push_refused", "budget_exceeded", "backend_unavailable"} & set(left)
    for new in retried.values():
        agent = run(fleet, new)
        fleet.enqueue_for_gates(agent, {}, b"change")
        patch = {"branch": f"agent/{agent.task_id}", "commit": "d" * 40}
        fleet.complete(fleet.claim_for_gates(agent.agent_id, 1), patch)
    assert store.run(agents.read(new)).status == "completed"

    # The morning's page.
    recap = as_json("recap", "--since", "12h")
    assert len(recap["delivered"]) == COMPLETED + len(retried)
    assert recap["failures"] == {kind.code: count for kind, count in FAILED.items()}
    assert len(recap["kills"]) == 5
    told = {one["action"] for one in as_json("audit", "--limit", "500")["entries"]}
    assert {"halt", "resume", "retry", "budget", "acknowledge", "kill"} <= told


def ids(orch, *options):
    return orch("ls", "--ids", "--limit", "500", *options).stdout.split()
