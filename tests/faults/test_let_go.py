"""Valkey away or only busy: a worker answers for the agents it held, and takes load for load."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from orchestrator.audit import Audit
from orchestrator.errors import KillUnconfirmed, StoreUnreachable
from orchestrator.killswitch import KillSwitch
from orchestrator.lifecycle import kills
from orchestrator.lifecycle.holder import Holder
from orchestrator.lifecycle.kills import KillOrder
from orchestrator.store.operations import command
from orchestrator.submit import FrontDoor
from orchestrator.wiring import clock, new_id
from tests.faults.conftest import request_body
from tests.processes import eventually

ORDER = KillOrder("ann", "")


@pytest.fixture
def holder(store):
    return Holder(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)


@pytest.fixture
def agent(store, holder):
    """An agent that a worker holds."""
    door = FrontDoor("scripted", frozenset({"scripted"}), clock, new_id)
    agent_id = store.run(door.submit(request_body("/srv/x.git"))).agent_id
    return holder.claim(agent_id)


@pytest.fixture
def kill(store, agent):
    switch = KillSwitch(Audit(b"k" * 32, clock, new_id), clock, new_id)
    return lambda: store.follow(switch.kill(agent.agent_id, ORDER, timeout_s=0))


def test_an_agent_let_go_of_in_an_outage_is_confirmed_by_the_worker_that_ran_it(
    store, holder, agent, kill
):
    with holder.holding(agent):
        msg = "away"
        raise StoreUnreachable(msg)
    with pytest.raises(KillUnconfirmed, match="spawn@here"):
        kill()
    holder.revoke(agent.agent_id)
    receipt = kill()
    assert (receipt.confirmed, receipt.confirmed_by) == (True, "worker")
    assert store.run(kills.unconfirmed()) == ()


def test_who_let_go_of_an_attempt_says_nothing_of_the_next(store, holder, agent, kill):
    with holder.holding(agent.model_copy(update={"attempt": agent.attempt - 1})):
        msg = "away"
        raise StoreUnreachable(msg)
    for _ in range(2):
        with pytest.raises(KillUnconfirmed):
            kill()
        holder.revoke(agent.agent_id)


def test_a_receipt_tells_of_the_last_death_however_late_the_word_of_it_comes(store, agent, kill):
    def since_request_ms() -> int:
        seconds, microseconds = store.run(command("TIME", decode=lambda pair: map(int, pair)))
        return seconds * 1000 + microseconds // 1000 - clock_ms

    with pytest.raises(KillUnconfirmed):
        kill()
    clock_ms = store.run(kills.read_receipt(agent.agent_id)).clock_ms
    store.run(kills.add_to_receipt(agent.agent_id, {"survivors": [1]}))
    eventually(lambda: since_request_ms() > 50)
    before_ms = since_request_ms()
    store.run(kills.add_to_receipt(agent.agent_id, {"confirmed": True, "endedMsAgo": 40}))
    receipt = kill()
    assert before_ms - 40 <= receipt.duration_ms <= since_request_ms() - 40
    assert receipt.survivors == ()


def test_a_store_serves_more_threads_at_once_than_a_full_worker_has(store):
    """At most that many: a thread and a lease for each of 200 agents."""
    together = Barrier(400)

    def wait(_: int) -> None:
        together.wait()
        store.run(kills.await_kills("$", block_ms=500))

    with ThreadPoolExecutor(together.parties) as pool:
        assert len([*pool.map(wait, range(together.parties))]) == together.parties
