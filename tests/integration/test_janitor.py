"""What the janitor finds on its host, whoever cleaned up after the agent."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.host.identity import host_identity
from orchestrator.host.processes import Host, process_label
from orchestrator.host.tree_records import TreeRecords
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.orphan_processes import RENEWED_WITHIN_S, HostCleaner
from orchestrator.maintenance.work_saver import WorkSaver
from orchestrator.models import Phase, Status
from orchestrator.settings import load_settings
from orchestrator.stages.cleanup import Cleanup
from orchestrator.store import agents
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import clock, kill_switch, new_id
from orchestrator.wiring.host import agent_leases, host_cleaner, work_saver
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.disk import locked
from orchestrator.workspace.git import Git
from orchestrator.workspace.origin import Origin, write_document


@pytest.fixture
def settings(valkey_url, tmp_path):
    given = {"VALKEY_URL": valkey_url, "ORCHESTRATOR_LEASE": "1h"}
    return load_settings({**given, "ORCHESTRATOR_HOME": str(tmp_path / "here")})


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
    leftovers, saver, holder = sweeping.leftovers, sweeping.work_saver, sweeping.holder
    HostCleaner(store, host, "here", leftovers, saver, holder).start(sleep)
    assert swept_again.wait(240)


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


def dead() -> str:
    with subprocess.Popen(["sleep", "60"]) as process:
        label = process_label(process.pid)
        process.kill()
    return label


def holder_of(settings, store, process: str) -> AgentLeases:
    """A worker process that has renewed no lease for a while."""
    lease_s = settings.lease_s - 2 * RENEWED_WITHIN_S
    return AgentLeases(store, clock, new_id, worker="spawn@here", process=process, lease_s=lease_s)


@pytest.mark.parametrize("has_files", [True, False])
@pytest.mark.parametrize("who", ["dead here", "alive here", "dead elsewhere", "unknown"])
def test_only_a_process_that_is_seen_dead_is_recovered_for(settings, store, spawn, who, has_files):
    process = {
        "dead here": f"{dead()}@{host_identity()}",
        "alive here": f"{process_label(1)}@{host_identity()}",
        "dead elsewhere": f"{dead()}@another.boot",
        "unknown": dead(),
    }[who]
    holder = holder_of(settings, store, process)
    agent_id = spawn()
    claimed = holder.claim(agent_id)
    if has_files:
        (settings.workspaces_dir / agent_id / "tree").mkdir(parents=True)
    cleaner = host_cleaner(settings, worker="spawn@here")
    for _ in range(2):
        cleaner.sweep()
    state = store.run(agents.read(agent_id))
    phase = Phase.QUEUED if who == "dead here" else Phase.PREPARING
    assert (state.status, state.phase) == (Status.SPAWNING, phase)
    assert state.attempt == claimed.attempt + (who == "dead here")


def test_what_a_process_let_go_of_before_its_end_is_no_more_its_own(settings, store, spawn):
    holder = holder_of(settings, store, f"{dead()}@{host_identity()}")
    agent_id = spawn()
    agent = holder.start(holder.claim(agent_id), base_commit="abc")
    (settings.workspaces_dir / agent_id / "tree").mkdir(parents=True)
    cleaner = host_cleaner(settings, worker="spawn@here")
    holder.enqueue_for_gates(agent, {}, b"bundle")
    cleaner.sweep()
    state = store.run(agents.read(agent_id))
    assert (state.phase, state.attempt) == (Phase.AWAITING_GATES, agent.attempt)


def test_an_agent_whose_work_another_worker_saves_now_is_not_recovered_before(
    settings, store, spawn
):
    """The next attempt would begin without the work."""
    agent_id = spawn()
    holder_of(settings, store, f"{dead()}@{host_identity()}").claim(agent_id)
    workspace = settings.workspaces_dir / agent_id
    (workspace / "tree").mkdir(parents=True)
    base = {"mirror": str(settings.workspaces_dir / "mirror"), "base_commit": "a" * 40}
    write_document(workspace.with_suffix(".origin"), Origin(agent_id=agent_id, attempt=1, **base))
    cleaner = host_cleaner(settings, worker="spawn@here")
    with locked(workspace.with_suffix(".lock")):
        cleaner.sweep()
        assert store.run(agents.read(agent_id)).phase is Phase.PREPARING
    cleaner.sweep()
    assert store.run(agents.read(agent_id)).phase is Phase.QUEUED


def test_who_has_a_process_left_is_not_recovered_before_that_has_ended(
    settings, store, spawn, monkeypatch
):
    agent_id = spawn()
    holder_of(settings, store, f"{dead()}@{host_identity()}").claim(agent_id)
    (settings.workspaces_dir / agent_id / "tree").mkdir(parents=True)
    monkeypatch.setattr(Host, "orphans", lambda _: {agent_id: (7,)})
    cleaner = host_cleaner(settings, worker="spawn@here")
    cleaner.sweep()
    assert store.run(agents.read(agent_id)).phase is Phase.PREPARING
    monkeypatch.undo()
    cleaner.sweep()
    assert store.run(agents.read(agent_id)).phase is Phase.QUEUED


def test_who_has_a_tree_that_nobody_saw_end_waits_for_the_end_of_its_lease(settings, store, spawn):
    agent_id = spawn()
    holder_of(settings, store, f"{dead()}@{host_identity()}").claim(agent_id)
    record = Path(TreeRecords(settings.home).begin(agent_id, 1) + ".1:1")
    record.touch()
    cleaner = host_cleaner(settings, worker="spawn@here")
    cleaner.sweep()
    assert store.run(agents.read(agent_id)).phase is Phase.PREPARING
    record.unlink()
    cleaner.sweep()
    assert store.run(agents.read(agent_id)).phase is Phase.QUEUED


def test_what_a_process_let_go_of_with_its_last_step_is_not_recovered(
    settings, store, spawn, monkeypatch
):
    holder = holder_of(settings, store, f"{dead()}@{host_identity()}")
    agent = holder.start(holder.claim(spawn()), base_commit="abc")
    cleaner = host_cleaner(settings, worker="spawn@here")

    def let_go(_saver, _agent_id) -> bool:
        # After the cleaner has read who holds the agent.
        holder.enqueue_for_gates(agent, {}, b"bundle")
        return False

    monkeypatch.setattr(WorkSaver, "has_unsaved", let_go)
    cleaner.sweep()
    state = store.run(agents.read(agent.agent_id))
    assert (state.phase, state.attempt) == (Phase.AWAITING_GATES, agent.attempt)
