"""The trends: each event counts once, for an hour and a day, whoever asks and however often."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from orchestrator.errors import AgentFailed, LeaseLost
from orchestrator.queries.trends import MOST_REPOSITORIES, NAMED
from orchestrator.store import keys
from orchestrator.store.operations import command
from orchestrator.store.trends import read_trends
from tests.integration.api.conftest import BODY, run_to, serving, spawn


def live(api, holder, repository="/srv/repo.git"):
    context = BODY["context"] | {"repository": repository}
    agent = run_to(holder, spawn(api, context=context))
    agent = holder.update(agent, {"usage": {"totalTokens": 12, "costUsd": 0.25}})
    holder.fail(agent, AgentFailed())
    return agent.agent_id


def sums(api):
    minutes = api.get("/trends").json()["minutes"]
    names = ("ended", "tokens", "costUsd", "started")
    return tuple(sum(one[name] for one in minutes) for name in names)


def test_each_event_is_counted_once_by_two_servers_asked_at_once(valkey_url, store, holder):
    with serving(valkey_url) as (one, _), serving(valkey_url) as (other, _):
        for _ in range(3):
            live(one, holder)
        one.post(f"/agents/{spawn(one)}/kill")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: (one, other)[number % 2].get("/trends"), range(16)))
        for api in (one, other):
            assert sums(api) == (4, 36, 0.75, 3)
            (repository,) = api.get("/trends").json()["repositories"]
            assert repository["repository"] == "/srv/repo.git"
            assert (sum(repository["ended"]), sum(repository["tokens"])) == (4, 36)
        # A later attempt ends no wait.
        agent = run_to(holder, spawn(one))
        holder.recover(agent, LeaseLost())
        run_to(holder, agent.agent_id)
        assert sums(other) == (4, 36, 0.75, 4)


def test_what_is_over_is_neither_counted_nor_kept(api, store, holder):
    old = {"type": "agent.failed", "agentId": live(api, holder)}
    events = store.run(command("XLEN", keys.EVENTS_STREAM, decode=int))
    assert events
    store.run(command("UNLINK", keys.EVENTS_STREAM, decode=int))
    add = ("XADD", keys.EVENTS_STREAM, "1000-0", "event", json.dumps(old))
    store.run(command(*add, decode=bytes))
    fields = ("m|1|ended|", 5, "h|1|ended|an|old|name", 5)
    store.run(command("HSET", keys.TRENDS, *fields, decode=int))
    assert sums(api)[0] == 0
    assert store.run(read_trends()) == {}


def test_many_repositories_share_a_counter(api, store, holder):
    names = [f"/srv/{at}|x.git" for at in range(MOST_REPOSITORIES + 3)]
    for name in names:
        live(api, holder, name)
    named = api.get("/trends").json()["repositories"]
    assert [one["repository"] for one in named][-1] == ""
    assert len(named) == NAMED + 1
    assert sum(sum(one["ended"]) for one in named) == len(names)
    hours = {name.split("|", 3)[3] for name in store.run(read_trends()) if name[0] == "h"}
    assert len(hours) <= MOST_REPOSITORIES + 1
