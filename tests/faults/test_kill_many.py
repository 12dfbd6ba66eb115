"""kill-all: when everything is busy, only a part, and without Valkey."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.faults.conftest import HANGS, OPEN, SLOTS, Fleet, all_killed, send, worker_name
from tests.integration.conftest import make_remote, running
from tests.processes import Observer, eventually

CHANGES = {"write": {"path": "new.txt", "content": "new\n"}}
GATE_WORKERS = 2


def test_kill_all_while_every_slot_of_every_pool_is_busy(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    pids = tmp_path / "gates"
    pids.mkdir()
    gate = f": >{pids}/$$; exec sleep 600"
    files = {"pyproject.toml": f"[tool.orchestrator.gates]\ntests = 'sh -c \"{gate}\"'\n"}
    gated = make_remote(tmp_path / "gated", files)
    judged = [fleet.spawn(gated, CHANGES, {"say": "Done."}) for _ in range(GATE_WORKERS + 1)]
    eventually(lambda: len([*pids.iterdir()]) == GATE_WORKERS)
    for agent_id in judged:
        fleet.await_phase(agent_id, "gating", "awaiting-gates")
        observer.note_agent(agent_id, pids)
    running_ = [fleet.spawn_that(remote, tmp_path / str(slot), HANGS) for slot in range(SLOTS)]
    for slot, agent_id in enumerate(running_):
        observer.note_agent(agent_id, tmp_path / str(slot))
    queued = [fleet.spawn_that(remote, tmp_path / f"q{number}", HANGS) for number in range(2)]

    report = fleet.kill_all()
    assert observer.alive() == set()
    ids = [*judged, *running_, *queued]
    assert report == all_killed(len(ids))
    receipts = [fleet.receipt(agent_id) for agent_id in ids]
    assert all(receipt["confirmed"] and not receipt["survivors"] for receipt in receipts)
    assert [receipt["confirmedBy"] for receipt in receipts].count("state") == len(queued) + 1
    phases = {fleet.receipt(agent_id)["phaseBefore"] for agent_id in ids}
    assert phases == {"gating", "awaiting-gates", "executing", "queued"}


@pytest.fixture
def pair(fleet: Fleet, remote: Path, tmp_path: Path) -> tuple[str, str]:
    """Two agents that differ in task, repository and type; both run."""
    other = make_remote(tmp_path / "other", {"orchestrator.toml": "[gates]\ntests = 'true'\n"})
    chosen = fleet.spawn_that(remote, tmp_path / "1", HANGS, taskId="t-1", agentType="reviewer")
    spared = fleet.spawn_that(other, tmp_path / "2", HANGS, taskId="t-2", agentType="tester")
    for agent_id in (chosen, spared):
        fleet.await_phase(agent_id, "executing")
    return chosen, spared


@pytest.mark.parametrize("scope", ["--task", "--repo", "--type"])
def test_a_scope_spares_the_others(fleet: Fleet, remote: Path, pair: tuple[str, str], scope: str):
    value = {"--task": "t-1", "--repo": str(remote), "--type": "reviewer"}[scope]
    ran = fleet.system.orch("kill-all", scope, value, "--json")
    assert json.loads(ran.stdout) == all_killed(1)
    chosen, spared = pair
    assert fleet.state(chosen)["status"] == "killed"
    assert fleet.state(spared)["status"] == "running"


def test_the_scope_of_a_worker_is_what_it_holds(fleet: Fleet, remote: Path, tmp_path: Path):
    agent_id = fleet.spawn_that(remote, tmp_path / "pids", HANGS)
    fleet.await_phase(agent_id, "executing")
    spared = fleet.system.orch("kill-all", "--worker", worker_name("gates"), "--json")
    assert json.loads(spared.stdout) == all_killed(0)
    killed = fleet.system.orch("kill-all", "--worker", worker_name("spawn"), "--json")
    assert json.loads(killed.stdout) == all_killed(1)


def test_kill_all_local_needs_no_valkey_and_spares_other_systems(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    with running(
        tmp_path / "home", ORCHESTRATOR_AGENT="scripted", **OPEN, MAX_CONCURRENT_AGENTS="2"
    ) as system:
        own = Fleet(system)
        ids = [own.spawn_that(remote, tmp_path / f"own{number}", HANGS) for number in range(2)]
        for number, agent_id in enumerate(ids):
            observer.note_agent(agent_id, tmp_path / f"own{number}")
        other = Observer()
        stranger = fleet.spawn_that(remote, tmp_path / "other", HANGS)
        other.note_agent(stranger, tmp_path / "other")
        others = other.alive()
        published = json.loads((tmp_path / "home" / "run" / "system.json").read_text())
        send(published["pids"]["valkey"], signal.SIGSTOP)
        try:
            ran = system.orch("kill-all", "--local", "--json")
        finally:
            send(published["pids"]["valkey"], signal.SIGCONT)
        assert observer.alive() == set()
        assert other.alive() == others
        assert fleet.state(stranger)["status"] == "running"
    report = json.loads(ran.stdout)
    assert sorted(report["agents"]) == sorted(ids)
    assert report["survivors"] == []
