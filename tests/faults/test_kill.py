"""Whatever an agent does against it: killed means dead, seen from outside, with a receipt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Fleet, all_killed
from tests.processes import Observer

#: What agents do against their end; `$D` takes a file for each process, named by its pid.
HOSTILE = {
    "ignores-sigterm": 'trap "" TERM; : >$D/$$; while :; do sleep 0.2; done',
    "forks-fifty": "for i in $(seq 50); do (touch $D/$BASHPID; exec sleep 600) & done; wait",
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
: >$D/$$; sleep 600
""",
    "spins": ": >$D/$$; while :; do :; done",
    "fills-its-pipe": ": >$D/$$; exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "stopped": ": >$D/$$; kill -STOP $$",
}
COUNTS = {"forks-fifty": 50, "daemon": 2}


@pytest.mark.parametrize("kind", HOSTILE)
def test_after_a_kill_nothing_is_left(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path, kind: str
):
    agent_id = fleet.spawn_that(remote, tmp_path / "pids", HOSTILE[kind])
    observer.note_agent(agent_id, tmp_path / "pids", at_least=COUNTS.get(kind, 1))
    answer = fleet.kill(agent_id)
    assert observer.alive() == set()
    assert answer == (200, {"message": f"Agent {agent_id} killed successfully"})
    receipt = fleet.receipt(agent_id)
    assert receipt["confirmed"] is True
    assert receipt["confirmedBy"] == "worker"
    assert receipt["survivors"] == []
    assert len(receipt["pids"]) >= COUNTS.get(kind, 1)
    assert (receipt["statusBefore"], receipt["statusAfter"]) == ("running", "killed")
    assert fleet.state(agent_id)["status"] == "killed"


def test_kill_all_ends_every_kind_at_once(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    ids = {
        kind: fleet.spawn_that(remote, tmp_path / kind, command)
        for kind, command in HOSTILE.items()
    }
    for kind, agent_id in ids.items():
        observer.note_agent(agent_id, tmp_path / kind, at_least=COUNTS.get(kind, 1))
    report = fleet.kill_all()
    assert observer.alive() == set()
    assert report == all_killed(len(HOSTILE))
    assert fleet.kill_all() == all_killed(0)
