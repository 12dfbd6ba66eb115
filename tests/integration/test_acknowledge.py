"""Acknowledged agents are listed no more, until their reason changes or the time is over."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest

from orchestrator import wiring
from orchestrator.errors import PushFailed
from orchestrator.models import Halt, KeyScope, Status
from orchestrator.settings import load_settings
from orchestrator.store import acknowledgements, halt, keys
from orchestrator.store.operations import command
from orchestrator.store.retention import remove_agent
from orchestrator.wiring import clock
from tests.integration.api.conftest import serving
from tests.integration.test_cli_ids import fail, holder, orch, spawn

__all__ = ["holder", "orch"]


@pytest.fixture
def failed(store, holder):
    ids = [spawn(store, task=f"t{number}") for number in range(3)]
    for agent_id in ids:
        fail(holder, agent_id, PushFailed())
    return ids


def urgent(orch):
    return set(orch("ls", "--attention", "--ids").stdout.split())


def test_acknowledged_agents_are_listed_no_more_and_again_after_undo(orch, store, failed):
    assert urgent(orch) == set(failed)
    typed = "\n".join(failed[:2])
    done = json.loads(orch("ack", "-", "--why", "known", "--json", stdin=typed).stdout)["agents"]
    assert [one["acknowledged"] for one in done] == [True, True]
    assert urgent(orch) == {failed[2]}
    found = json.loads(orch("why", failed[0], "--json").stdout)
    assert "rank" not in found
    assert (found["acknowledged"]["why"], found["acknowledged"]["code"]) == ("known", "push_failed")
    # The list and the recap go by the same rule; the agents are in the list all the same.
    listed = json.loads(orch("ls", "--json").stdout)
    assert set(listed["attention"]) == {failed[2]}
    assert len(listed["agents"]) == 3
    assert json.loads(orch("recap", "--json").stdout)["needAttention"] == 1
    assert orch("ack", failed[0], "--why", "renewed")
    assert orch("ack", failed[0], "--undo").stdout == f"Agent {failed[0]} no longer acknowledged\n"
    assert urgent(orch) == {failed[0], failed[2]}
    entries = json.loads(orch("audit", "--agent", failed[0], "--json").stdout)["entries"]
    told = [(one["why"], one.get("result")) for one in entries if one["action"] == "acknowledge"]
    assert told == [("known", None), ("renewed", None), ("", "withdrawn")]


def test_another_reason_needs_attention_again(orch, store):
    waits = spawn(store)
    store.run(halt.set_halt(Halt(by="ada", why="night", at=clock())))
    orch("ack", waits)
    assert urgent(orch) == set()
    store.run(halt.lift_halt())
    orch("queues", "pause", "spawn")
    assert urgent(orch) == {waits}


def test_it_lapses_with_its_time_and_with_the_agent(orch, store, failed):
    orch("ack", failed[0], "--for", "1h")
    orch("ack", failed[1])
    (soon, late) = (
        store.run(command("PTTL", f"orchestrator:acknowledged:{name}", decode=int))
        for name in failed[:2]
    )
    assert 0 < soon <= 3_600_000 < late
    assert json.loads(orch("why", failed[0], "--json").stdout)["acknowledged"]["until"]
    store.run(command("PEXPIRE", f"orchestrator:acknowledged:{failed[0]}", 0, decode=int))
    assert urgent(orch) == {failed[0], failed[2]}
    store.follow(remove_agent(failed[1], Status.FAILED))
    assert store.run(acknowledgements.find_each([failed[1]])) == (None,)


def test_what_cannot_be_acknowledged_says_so_and_stores_nothing(orch, store, failed, holder):
    runs = spawn(store, task="runs")
    killed = spawn(store, task="killed")
    holder.start(holder.claim(killed), base_commit="b" * 40)
    orch("kill", killed, "--timeout", "100ms", code=1)
    # Unconfirmed for longer than a kill takes.
    key, ago = keys.agent(killed), clock() - timedelta(minutes=1)
    stored = json.loads(store._client.call("GET", key))
    stored["completedAt"] = f"{ago:%Y-%m-%dT%H:%M:%S}.000Z"
    store._client.call("SET", key, json.dumps(stored))
    for name in (runs, killed):
        said = orch("ack", name, code=1).stderr
        assert "[transition_refused]" in said
        assert store.run(acknowledgements.find_each([name])) == (None,)
    assert "receipt" in said
    assert "[not_found]" in orch("ack", "nobody-here", code=1).stderr
    assert orch("ack", failed[0], "--for", "0", code=2)
    assert "does not go with" in orch("ack", failed[0], "--for", "1h", "--undo", code=2).stderr
    assert urgent(orch) == {*failed, killed}


def test_over_http_it_needs_the_scope_operate(store, valkey_url, failed):
    api_keys = wiring.api_keys(load_settings({"ORCHESTRATOR_SIGNING_KEY": "k" * 64}))
    tokens = {scope: store.follow(api_keys.add(scope, [scope], by="test")) for scope in KeyScope}
    path = f"/agents/{failed[0][:8]}/acknowledge"
    with serving(valkey_url, ORCHESTRATOR_SIGNING_KEY="k" * 64) as (client, _):

        def ask(scope, **body) -> httpx.Response:
            return client.post(path, json=body, headers={"X-API-Key": tokens[scope]})

        for scope in KeyScope:
            assert ask(scope).status_code == (200 if scope == KeyScope.OPERATE else 403)
        answer = ask(KeyScope.OPERATE, forS=60, reason="x").json()
        assert (answer["agentId"], answer["acknowledged"]) == (failed[0], True)
        assert answer["until"]
        for wrong in (
            {"forS": 0},
            {"forS": -1},
            {"forS": 1e308},
            {"for": 3},
            {"reason": "x" * 2000},
        ):
            assert ask(KeyScope.OPERATE, **wrong).status_code == 422
        gone = ask(KeyScope.OPERATE, withdraw=True).json()
        assert gone == {"agentId": failed[0], "acknowledged": False}
    store._client.call("FLUSHALL")
