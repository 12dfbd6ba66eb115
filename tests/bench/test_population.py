"""A population is as consistent as one that the store's own steps have made."""

from __future__ import annotations

import pytest
import redis

from orchestrator.host.processes import Host
from orchestrator.maintenance.consistency import ConsistencyCheck
from orchestrator.models import Status
from orchestrator.queries import agent_list
from orchestrator.queries.timeline import read_timeline
from orchestrator.store import agents
from orchestrator.wiring import clock, new_id
from tests.bench.population import populate, queue


@pytest.fixture
def raw(valkey_url):
    with redis.Redis.from_url(valkey_url) as connection:
        yield connection


@pytest.mark.parametrize("write", [populate, queue])
def test_a_population_agrees_with_itself(store, raw, tmp_path, write):
    write(raw, store, 30)
    check = ConsistencyCheck(
        store, Host(tmp_path), tmp_path, tmp_path / "workspaces", clock, new_id, str
    )
    assert check.check() == ()


def test_a_copy_is_an_agent_of_its_own(store, raw):
    ended = populate(raw, store, 30)
    page = store.follow(agent_list.page(status=Status.COMPLETED, limit=3))
    assert page.next_cursor == page.agents[-1].agent_id
    assert {agent.agent_id for agent in page.agents} <= {*ended}
    copy = store.run(agents.read(ended[1]))
    assert copy.task_id == f"task-{copy.agent_id}"
    assert store.follow(read_timeline(copy)).events
