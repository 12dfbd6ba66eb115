"""What the janitor finds on its host, whoever cleaned up after the agent."""

from __future__ import annotations

import threading

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.host.processes import Host
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.orphan_processes import HostCleaner
from orchestrator.settings import load_settings
from orchestrator.stages.cleanup import Cleanup
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import clock, kill_switch, new_id
from orchestrator.wiring.host import agent_leases, host_cleaner, work_saver
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.disk import locked
from orchestrator.workspace.git import Git


@pytest.fixture
def settings(valkey_url, tmp_path):
    return load_settings({"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(tmp_path / "here")})


@pytest.fixture
def cleaned(settings, store, tmp_path):
    """Two agents that another host has killed and cleaned up after."""
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    context = {"repository": str(tmp_path / "x.git"), "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "context": context}
    ids = sorted(store.run(door.submit(body)).agent_id for _ in range(2))
    there = load_settings({"ORCHESTRATOR_HOME": str(tmp_path / "there")})
    git = Git(there)
    holder = AgentLeases(store, clock, new_id, worker="cleanup@there", process="1:1", lease_s=30)
    keeps = work_saver(there, store, worker="cleanup@there")
    cleanup = Cleanup(holder, keeps, Candidates(there, git), 60)
    for agent_id in ids:
        store.follow(kill_switch(settings).kill(agent_id, KillOrder("ann", "", False)))
        cleanup.run(agent_id)
    return ids


def test_no_error_of_one_sweep_is_the_end_of_the_sweeping(settings, store, tmp_path):
    class FailsOnce(Host):
        checks = 0

        def end_orphans(self, *, within_s):
            self.checks += 1
            if self.checks == 1:
                msg = "nobody thought of this"
                raise ValueError(msg)
            return super().end_orphans(within_s=within_s)

    host = FailsOnce(tmp_path)
    swept_again = threading.Event()

    def sleep(_seconds):
        if host.checks > 1:
            swept_again.set()
            threading.Event().wait()

    sweeping = host_cleaner(settings, worker="spawn@here")
    HostCleaner(store, host, "here", sweeping.leftovers, sweeping.work_saver).start(sleep)
    assert swept_again.wait(30)


def test_a_workspace_that_is_held_keeps_no_other_from_being_removed(settings, cleaned):
    """And the sweep, on which the proof of every kill hangs, does not wait for it."""
    for agent_id in cleaned:
        (settings.workspaces_dir / agent_id / "tree").mkdir(parents=True)
    held, free = (settings.workspaces_dir / agent_id for agent_id in cleaned)
    sweeping = host_cleaner(settings, worker="spawn@here")
    with locked(held.with_suffix(".lock")):
        sweeping.sweep()
        assert held.exists()
        assert not free.exists()
    sweeping.sweep()
    assert [*settings.workspaces_dir.iterdir()] == []


def test_a_workspace_of_an_agent_that_is_held_or_of_another_system_stays(settings, store, tmp_path):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    context = {"repository": str(tmp_path / "x.git"), "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "context": context}
    held = store.run(door.submit(body)).agent_id
    agent_leases(settings, store, worker="spawn@here").claim(held)
    for agent_id in (held, "a-of-another-system"):
        (settings.workspaces_dir / agent_id / "tree").mkdir(parents=True)
    host_cleaner(settings, worker="spawn@here").sweep()
    assert {path.name for path in settings.workspaces_dir.iterdir() if path.is_dir()} == {
        held, "a-of-another-system",
    }  # fmt: skip
