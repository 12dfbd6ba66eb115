"""What a killed agent had changed is kept, unless told otherwise, and nothing of it runs again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Fleet
from tests.integration.conftest import git
from tests.processes import Observer, eventually

#: Leaves one file uncommitted, and traps for whoever runs git on its tree.
AGENT = """
echo saved > uncommitted.txt
git config filter.trap.clean "sh -c 'touch $D/fired; cat'"
git config core.fsmonitor "touch $D/fired"
echo '* filter=trap' > .gitattributes
: >$D/$$
exec sleep 600
"""


@pytest.fixture
def killed(fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path):
    """Start an agent with uncommitted work, and kill it with these flags."""
    pids = tmp_path / "pids"

    def kill(*flags: str) -> str:
        agent_id = fleet.spawn_that(remote, pids, AGENT)
        observer.note_agent(agent_id, pids)
        fleet.system.orch("kill", agent_id, *flags)
        return agent_id

    return kill


def cleaned(fleet: Fleet, agent_id: str) -> bool:
    """Return whether the worker and the cleanup pool are done with the agent."""
    return bool(fleet.state(agent_id)["phase"] == "cleaned") and not workspace(fleet, agent_id)


def workspace(fleet: Fleet, agent_id: str) -> bool:
    return (fleet.system.home / "workspaces" / agent_id).exists()


def test_uncommitted_work_is_saved_for_the_retention_and_no_trap_fires(
    fleet: Fleet, remote: Path, killed, tmp_path: Path
):
    agent_id = killed()
    # Saved after the proof, which nothing delays.
    eventually(lambda: "savedBytes" in fleet.receipt(agent_id))
    eventually(lambda: cleaned(fleet, agent_id))
    key = f"orchestrator:change:{agent_id}:1"
    with fleet.valkey() as client:
        left_s = client.ttl(key)
    bundle = fleet.change(agent_id)
    assert len(bundle) == fleet.receipt(agent_id)["savedBytes"]
    assert 0 < left_s <= 7 * 24 * 3600
    (tmp_path / "saved.bundle").write_bytes(bundle)
    git("clone", "-q", str(remote), "scratch", cwd=tmp_path)
    scratch = tmp_path / "scratch"
    git("fetch", "-q", str(tmp_path / "saved.bundle"), "refs/orchestrator/change", cwd=scratch)
    assert git("show", "FETCH_HEAD:uncommitted.txt", cwd=scratch) == "saved"
    assert git("log", "--format=%an", "-1", "FETCH_HEAD~", cwd=scratch) == "Person"
    assert not (tmp_path / "pids" / "fired").exists()


def test_discarded_work_is_gone(fleet: Fleet, killed):
    agent_id = killed("--discard")
    eventually(lambda: cleaned(fleet, agent_id))
    with fleet.valkey() as client:
        assert not client.exists(f"orchestrator:change:{agent_id}:1")
    receipt = fleet.receipt(agent_id)
    assert receipt["discard"] is True
    assert "savedBytes" not in receipt
