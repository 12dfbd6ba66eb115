"""Valkey away or only busy: a worker answers for the agents it held, and takes load for load."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from orchestrator.audit.log import Audit
from orchestrator.control.kill_switch import KillSwitch
from orchestrator.control.submit import SubmitService
from orchestrator.errors import (
    AgentFailed,
    GitFailed,
    GitTimedOut,
    KillUnconfirmed,
    ProviderLimited,
    StoreUnreachable,
    WorkerStopping,
)
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.models import Phase
from orchestrator.store import agents, keys, kills
from orchestrator.store.client import Store
from orchestrator.store.kills import KillOrder
from orchestrator.store.operations import command, nothing
from orchestrator.wiring import clock, new_id
from orchestrator.workspace.host_program import run_program
from tests.doubles.relay import Relay
from tests.faults.conftest import request_body
from tests.processes import eventually

ORDER = KillOrder("ann", "")


@pytest.fixture
def holder(store):
    return AgentLeases(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)


@pytest.fixture
def agent(store, holder):
    """An agent that a worker holds."""
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
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
    holder.confirmation.review()
    receipt = kill()
    assert (receipt.confirmed, receipt.confirmed_by) == (True, "worker")
    assert store.run(kills.unconfirmed()) == ()


@pytest.fixture
def relay(valkey_url):
    """What lies between a worker and Valkey."""
    with Relay(int(valkey_url.rpartition(":")[2].partition("/")[0])) as between:
        yield between


@pytest.fixture
def far(relay):
    """A worker of another host, with a short lease."""
    store = Store(f"redis://127.0.0.1:{relay.port}/0")
    yield AgentLeases(store, clock, new_id, worker="spawn@far", process="2:2", lease_s=3)
    store.close()


@pytest.fixture
def claim(store, far):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)

    def claim():
        agent = far.claim(store.run(door.submit(request_body("/srv/x.git"))).agent_id)
        return far.start(agent, base_commit="abc")

    return claim


@pytest.fixture
def kill_it(store):
    switch = KillSwitch(Audit(b"k" * 32, clock, new_id), clock, new_id)
    return lambda agent: store.follow(switch.kill(agent.agent_id, ORDER, timeout_s=0))


def test_an_agent_that_fails_in_an_outage_is_confirmed_when_that_is_over(
    relay, far, claim, kill_it
):
    agent = claim()
    with far.holding(agent):
        relay.cut()
        msg = "It failed by itself."
        raise AgentFailed(msg)
    relay.mend()
    with pytest.raises(KillUnconfirmed):
        kill_it(agent)
    far.confirmation.review()
    assert kill_it(agent).confirmed_by == "worker"


def test_a_kill_whose_receipt_could_not_be_written_is_confirmed_later(relay, far, claim, kill_it):
    agent = claim()
    with far.holding(agent):
        with pytest.raises(KillUnconfirmed):
            kill_it(agent)
        far.revoke(agent.agent_id)
        relay.cut()
    relay.mend()
    far.confirmation.review()
    assert kill_it(agent).confirmed_by == "worker"


@pytest.mark.parametrize("replies_lost", [1, 9], ids=["sent-again", "given-up"])
def test_who_handed_an_agent_over_and_was_not_told_so_does_not_confirm_its_kill(
    store, relay, far, claim, kill_it, replies_lost
):
    """The gates pool runs it, under the same attempt."""
    gates = AgentLeases(store, clock, new_id, worker="gates@here", process="3:3", lease_s=30)
    agent = claim()
    with far.holding(agent):
        try:
            relay.lose_replies(replies_lost)
            far.enqueue_for_gates(agent, {}, b"change")
        finally:
            relay.lose_replies(0)
            taken = gates.claim_for_gates(agent.agent_id, agent.attempt)
            with pytest.raises(KillUnconfirmed, match="gates@here"):
                kill_it(agent)
            far.revoke(agent.agent_id)
    far.confirmation.review()
    with pytest.raises(KillUnconfirmed, match="gates@here"):
        kill_it(agent)
    with gates.holding(taken):
        pass
    assert kill_it(agent).confirmed_by == "worker"


def test_what_runs_ends_before_the_agent_can_be_anothers(store, relay, far, claim):
    """Also a program that nobody looks at meanwhile; and its end is not the agent's failure."""
    agent = claim()
    with far.holding(agent):
        relay.cut()
        ended = run_program(("sleep", "600"), env={"PATH": "/usr/bin:/bin"}, timeout_s=600)
        assert ended.exit_code < 0
        relay.mend()
        msg = "git was ended by a signal."
        raise GitFailed(msg)
    state = store.run(agents.read(agent.agent_id))
    assert (state.status, state.phase, state.attempt) == (agent.status, agent.phase, agent.attempt)


def test_a_lease_is_renewed_again_after_valkey_has_refused_it(store, holder, agent):
    def refused() -> int:
        stats = store.run(command("INFO", "errorstats", decode=bytes.decode))
        return int(found[1]) if (found := re.search(r"errorstat_OOM:count=(\d+)", stats)) else 0

    def until_ms() -> int:
        return int(store.run(command("ZSCORE", keys.LEASES, agent.agent_id, decode=float)))

    with holder.holding(agent):
        before = refused()
        store.run(command("CONFIG", "SET", "maxmemory", 1, decode=nothing))
        try:
            eventually(lambda: refused() > before)
        finally:
            store.run(command("CONFIG", "SET", "maxmemory", 0, decode=nothing))
        held_until_ms = until_ms()
        eventually(lambda: until_ms() > held_until_ms)


def test_who_let_go_of_an_attempt_says_nothing_of_the_next(store, holder, agent, kill):
    with holder.holding(agent.model_copy(update={"attempt": agent.attempt - 1})):
        msg = "away"
        raise StoreUnreachable(msg)
    for _ in range(2):
        with pytest.raises(KillUnconfirmed):
            kill()
        holder.confirmation.review()


@pytest.mark.parametrize("end", [WorkerStopping(), ProviderLimited(), GitTimedOut()])
def test_a_kill_is_final_and_confirmed_whatever_else_ends_the_work(
    store, holder, agent, kill, end: Exception
):
    with holder.holding(agent):
        with pytest.raises(KillUnconfirmed):
            kill()
        raise end
    assert kill().confirmed_by == "worker"
    state = store.run(agents.read(agent.agent_id))
    assert (state.phase, state.attempt) == (Phase.ENDED, agent.attempt)


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
