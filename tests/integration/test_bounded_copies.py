"""What one agent reports is bounded: the bytes of its log in Valkey, the copies of its change."""

from __future__ import annotations

import pytest
import redis

from orchestrator.control.submit import SubmitService
from orchestrator.errors import BudgetExhausted, Halted, OrchestratorError
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.attempt_result import Fail
from orchestrator.models import LogLine
from orchestrator.settings import load_settings
from orchestrator.store import agent_logs, changes, keys
from orchestrator.store.budget import set_limits
from orchestrator.wiring import clock, kill_switch, new_id

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


@pytest.fixture
def service():
    return SubmitService("scripted", frozenset({"scripted"}), clock, new_id)


@pytest.fixture
def agent(store, service):
    holder = AgentLeases(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)
    found = holder.claim(store.run(service.submit(BODY)).agent_id)
    return holder.start(found, base_commit="1" * 40)


@pytest.mark.parametrize("size", [16_000, 300, 5])
def test_a_log_is_bounded_in_bytes_and_keeps_the_newest_lines(store, agent, valkey_url, size):
    most = 2**20
    for number in range(40):
        lines = [LogLine(at=clock(), source="agent", text=f"{number} " + "x" * size)] * 50
        store.run(agent_logs.append_log(agent.agent_id, 1, lines, cap=10_000, most_bytes=most))
    with redis.Redis.from_url(valkey_url) as client:
        used = client.memory_usage(keys.log(agent.agent_id), samples=0)
        length = client.xlen(keys.log(agent.agent_id))
    assert used <= most
    # Not more is dropped than has to be.
    assert length == 2000 or used > most / 3
    assert store.run(agent_logs.last_line(agent.agent_id)).text.startswith("39 ")


def test_the_bound_of_the_settings_can_be_sent(store, agent, tmp_path):
    most = load_settings({"ORCHESTRATOR_HOME": str(tmp_path), "ORCHESTRATOR_LOG_BYTES": "1MiB"})
    line = LogLine(at=clock(), source="agent", text="x")
    step = agent_logs.append_log(agent.agent_id, 1, [line], cap=10, most_bytes=most.log_bytes)
    assert store.run(step)


def test_one_line_larger_than_the_bound_stays(store, agent):
    line = LogLine(at=clock(), source="agent", text="x" * 16_000)
    store.run(agent_logs.append_log(agent.agent_id, 1, [line], cap=10, most_bytes=1))
    assert store.run(agent_logs.last_line(agent.agent_id)).text == line.text


@pytest.fixture
def ended(store, agent):
    """An agent that failed and left a change."""
    holder = AgentLeases(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)
    store.follow(changes.put_change(agent.agent_id, agent.attempt, b"a bundle"))
    holder.apply(agent, Fail(OrchestratorError("it failed")))
    return agent.agent_id


def retry(store, service, agent_id):
    flow = service.retry(agent_id, is_afresh=False, retain_s=60, by="ann", why="again")
    return store.follow(flow)


def bundles(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        return len(client.keys("orchestrator:change:*"))


def test_a_refused_retry_leaves_no_copy_of_the_change(store, service, ended, valkey_url, tmp_path):
    settings = load_settings({"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)})
    store.follow(kill_switch(settings).halt("ann", "stop"))
    for _ in range(3):
        with pytest.raises(Halted):
            retry(store, service, ended)
    assert bundles(valkey_url) == 1
    store.follow(kill_switch(settings).resume("ann", "go on"))
    store.run(set_limits({"daily": 1}, now=clock()))
    with pytest.raises(BudgetExhausted):
        retry(store, service, ended)
    assert bundles(valkey_url) == 1
    store.run(set_limits({"daily": None}, now=clock()))
    with redis.Redis.from_url(valkey_url) as client:
        client.set("orchestrator:audit:waiting", "of another type")
    with pytest.raises(OrchestratorError):
        retry(store, service, ended)
    assert bundles(valkey_url) == 1


def test_an_accepted_retry_keeps_its_copy(store, service, ended, valkey_url):
    submitted = retry(store, service, ended)
    assert store.follow(changes.get_change(submitted.agent_id, 0)) == b"a bundle"
