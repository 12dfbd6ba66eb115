"""Whatever an agent does against it: killed means dead, seen from outside, with a receipt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import SAMPLE, System, make_remote, running
from tests.processes import Observer, eventually

#: What agents do against their end; `$D` takes a file for each process, named by its pid.
HOSTILE = {
    "ignores-sigterm": 'trap "" TERM; touch $D/$$; while :; do sleep 0.2; done',
    "forks-fifty": 'for i in $(seq 50); do (touch $D/$BASHPID; exec sleep 600) & done; wait',
    "daemon": """
python3 - <<'PROGRAM'
import os
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
open(f"$D/{os.getpid()}", "w").close()
os.closerange(0, 256)
os.execve("/bin/sleep", ["sleep", "600"], {})
PROGRAM
touch $D/$$; sleep 600
""",
    "spins": "touch $D/$$; while :; do :; done",
    "fills-its-pipe": "touch $D/$$; exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "stopped": "touch $D/$$; kill -STOP $$",
}
COUNTS = {"forks-fifty": 50, "daemon": 2}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a system with a short deadline for supervisors and enough slots."""
    home = tmp_path_factory.mktemp("kill")
    with running(
        home,
        ORCHESTRATOR_AGENT="scripted",
        ORCHESTRATOR_SUPERVISOR_DEADLINE="3s",
        MAX_CONCURRENT_AGENTS="12",
    ) as started:
        yield started


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path, SAMPLE)


@pytest.fixture
def observer() -> Observer:
    return Observer()


def agent_that(system: System, remote: Path, folder: Path, command: str) -> str:
    """Spawn an agent whose program runs this command."""
    folder.mkdir(exist_ok=True)
    program = folder / "program.sh"
    program.write_text(command.replace("$D", str(folder)))
    script = {"steps": [{"run": f"echo changed > changed; exec bash {program}"}]}
    return system.spawn(remote, json.dumps(script))


def receipt_of(system: System, agent_id: str) -> dict[str, object]:
    return dict(json.loads(system.orch("receipt", agent_id, "--json").stdout))


def status_of(system: System, agent_id: str) -> str:
    return str(json.loads(system.orch("status", agent_id, "--json").stdout)["status"])


def marks_of(agent_id: str) -> set[int]:
    """Return every process that carries the agent's mark."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"ORCH_AGENT_ID={agent_id}".encode() in (entry / "environ").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("kind", HOSTILE)
def test_after_a_kill_nothing_is_left(
    system: System, remote: Path, observer: Observer, tmp_path: Path, kind: str
):
    folder = tmp_path / "pids"
    agent_id = agent_that(system, remote, folder, HOSTILE[kind])
    eventually(lambda: len([*folder.glob("[0-9]*")]) >= COUNTS.get(kind, 1))
    observer.note_folder(folder)
    observer.note(*marks_of(agent_id))
    assert observer.alive()
    killed = system.orch("kill", agent_id, "--json", "--why", "it misbehaves")
    assert observer.alive() == set()
    assert json.loads(killed.stdout) == {"message": f"Agent {agent_id} killed successfully"}
    receipt = receipt_of(system, agent_id)
    assert receipt["confirmed"] is True
    assert receipt["confirmedBy"] == "worker"
    assert receipt["survivors"] == []
    assert len(receipt["pids"]) >= COUNTS.get(kind, 1)
    assert (receipt["statusBefore"], receipt["statusAfter"]) == ("running", "killed")
    assert receipt["why"] == "it misbehaves"
    # Saved after the proof, which nothing delays.
    eventually(lambda: "savedBytes" in receipt_of(system, agent_id))
    assert status_of(system, agent_id) == "killed"


def test_kill_all_ends_every_kind_at_once(
    system: System, remote: Path, observer: Observer, tmp_path: Path
):
    ids = {}
    for kind, command in HOSTILE.items():
        ids[kind] = agent_that(system, remote, tmp_path / kind, command)
    for kind, agent_id in ids.items():
        eventually(lambda kind=kind: len([*(tmp_path / kind).glob("[0-9]*")]) >= COUNTS.get(kind, 1))
        observer.note_folder(tmp_path / kind)
        observer.note(*marks_of(agent_id))
    report = json.loads(system.orch("kill-all", "--json").stdout)
    assert observer.alive() == set()
    assert report == {
        "message": f"Kill all completed: {len(ids)} killed, 0 failed",
        "total": len(ids),
        "killed": len(ids),
        "failed": 0,
        "errors": [],
    }
    assert json.loads(system.orch("kill-all", "--json").stdout)["total"] == 0
