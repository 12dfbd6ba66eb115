"""Records that this version cannot read hold up nobody, and are named."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
import redis

from orchestrator.cli.local.valkey_checks import see_records
from orchestrator.errors import OrchestratorError
from orchestrator.messages import SPAWN_QUEUE, queue_key
from orchestrator.settings import load_settings
from orchestrator.store import agent_transitions, agents, delays, keys, leases, slots, unreadable
from orchestrator.store.budget import set_limits
from orchestrator.wiring import clock, submit_service
from orchestrator.wiring.worker import build

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}
#: More than one window of the sweep.
MANY = 120


@pytest.fixture
def settings(valkey_url, tmp_path):
    return load_settings(
        {
            "PATH": os.environ["PATH"],
            "VALKEY_URL": valkey_url,
            "ORCHESTRATOR_HOME": str(tmp_path),
            "ORCHESTRATOR_AGENT": "scripted",
            "ORCHESTRATOR_PROCESS_LEVEL": "shim",
        }
    )


@pytest.fixture
def services(settings):
    return build(settings, worker="spawn@here")


def spawn(settings, services):
    return services.store.run(submit_service(settings).submit(BODY)).agent_id


def spoil(valkey_url, *agent_ids):
    with redis.Redis.from_url(valkey_url) as client:
        for agent_id in agent_ids:
            client.set(keys.agent(agent_id), b'{"agentId": "of another version"}')


def zadd(valkey_url, key, scores):
    with redis.Redis.from_url(valkey_url) as client:
        client.zadd(key, scores)


def test_leases_of_unreadable_agents_do_not_stop_recovery(settings, services, valkey_url):
    store = services.store
    ids = [f"unreadable-{number}" for number in range(MANY)]
    spoil(valkey_url, *ids)
    agent = services.runner.holder.claim(spawn(settings, services))
    # The readable one is the last of all.
    zadd(valkey_url, keys.LEASES, {name: at for at, name in enumerate(ids)} | {agent.agent_id: 999})
    assert services.rescuer.sweep() == (agent.agent_id,)
    assert store.run(agents.read(agent.agent_id)).attempt == 2
    assert {*store.run(unreadable.agents_set_aside())} == {*ids}
    assert services.rescuer.sweep() == ()
    # They keep a lease: a version that reads them recovers them.
    holder = replace(services.runner.holder, clock=lambda: clock() + timedelta(seconds=61))
    assert {*ids} == {*store.run(leases.holders())}
    assert len(store.run(leases.expired(holder.clock(), limit=1000))) == MANY


def test_delays_of_unreadable_agents_do_not_stop_the_release_of_others(
    settings, services, valkey_url
):
    store, agent_id = services.store, spawn(settings, services)
    agent = store.run(agents.read(agent_id))
    store.run(agent_transitions.delay(agent, until=clock(), now=clock()))
    ids = [f"unreadable-{number}" for number in range(delays.WINDOW + 1)]
    spoil(valkey_url, *ids)
    zadd(valkey_url, keys.DELAYED, {name: at for at, name in enumerate(ids)})
    with redis.Redis.from_url(valkey_url) as client:
        client.delete(queue_key(SPAWN_QUEUE, agent.priority))
        services.rescuer.sweep()
        assert client.llen(queue_key(SPAWN_QUEUE, agent.priority)) == 1


def test_an_unreadable_agent_takes_no_slot_from_others(settings, services, valkey_url):
    store, holder = services.store, services.runner.holder
    store.run(set_limits({"concurrency": 1}, now=clock()))
    first, head, last = (spawn(settings, services) for _ in range(3))
    held = holder.claim(first)
    # Both wait in line, the head before the last.
    assert (holder.claim(head), holder.claim(last)) == (None, None)
    spoil(valkey_url, head)
    store.run(
        agent_transitions.recover(
            held, continues=None, counts=False, delay_s=3600, now=clock(), tag="t"
        )
    )
    services.runner.run(head)
    assert store.run(slots.waiting()) == [last]
    assert holder.claim(last) is not None
    assert store.run(unreadable.agents_set_aside()) == (head,)


def test_the_doctor_names_unreadable_agents_until_they_can_be_read(settings, services, valkey_url):
    agent_id = spawn(settings, services)
    with redis.Redis.from_url(valkey_url) as client:
        kept = client.get(keys.agent(agent_id))
        assert see_records(valkey_url) == "all that were looked at can be read"
        spoil(valkey_url, agent_id)
        services.runner.run(agent_id)
        with pytest.raises(OrchestratorError, match=agent_id):
            see_records(valkey_url)
        client.set(keys.agent(agent_id), kept)
    assert see_records(valkey_url) == "all that were looked at can be read"
    assert services.store.run(unreadable.agents_set_aside()) == ()
