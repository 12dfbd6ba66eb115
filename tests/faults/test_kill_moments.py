"""A kill at any moment of an agent's life, or after it: one wins, and every answer is true."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.conftest import HANGS, SLOTS, Fleet, all_killed
from tests.integration.conftest import SAMPLE, git, make_remote
from tests.processes import Observer, eventually

CHANGES = {"write": {"path": "new.txt", "content": "new\n"}}


def test_an_unknown_agent_is_not_found(fleet: Fleet):
    status, problem = fleet.call("POST", "/agents/no-such/kill")
    assert (status, problem["type"]) == (404, "urn:orchestrator:error:not_found")
    assert fleet.call("GET", "/agents/no-such/receipt")[0] == 404
    ran = fleet.system.orch("kill", "no-such", check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "no-such" in ran.stderr


def test_an_agent_that_has_ended_is_no_longer_killed(fleet: Fleet, remote: Path):
    for steps, end in (([CHANGES, {"say": "Done."}], "completed"), ([{"fail": 3}], "failed")):
        agent_id = fleet.spawn(remote, *steps)
        eventually(lambda: fleet.state(agent_id)["status"] == end)  # noqa: B023 - called at once
        status, problem = fleet.kill(agent_id)
        assert (status, problem["type"]) == (409, "urn:orchestrator:error:agent_ended")
        assert end in problem["detail"]
        assert fleet.state(agent_id)["status"] == end
        assert fleet.call("GET", f"/agents/{agent_id}/receipt")[0] == 404
    assert fleet.system.orch("kill", agent_id, check=False).returncode == 1


def test_of_two_at_once_one_kills_and_both_are_told_so(
    fleet: Fleet, remote: Path, observer: Observer, tmp_path: Path
):
    agent_id = fleet.spawn_that(remote, tmp_path / "pids", HANGS)
    observer.note_agent(agent_id, tmp_path / "pids")
    with ThreadPoolExecutor(2) as pool:
        by_cli = pool.submit(fleet.system.orch, "kill", agent_id, "--why", "it loops", "--json")
        answers = [*pool.map(fleet.kill, [agent_id] * 4)]
    reported = {"message": f"Agent {agent_id} killed successfully"}
    assert answers == [(200, reported)] * 4
    assert json.loads(by_cli.result().stdout) == reported
    assert observer.alive() == set()
    # Again, when all is over.
    assert fleet.kill(agent_id) == (200, reported)
    assert len(fleet.events(agent_id, "agent.killed")) == 1
    (entry,) = (entry for entry in fleet.audited(agent_id) if entry["action"] == "kill")
    assert entry["before"] == "running (executing)"
    receipt = fleet.receipt(agent_id)
    assert receipt["by"] == entry["who"]


def test_a_queued_agent_is_dead_at_once_and_never_starts(
    fleet: Fleet, remote: Path, tmp_path: Path
):
    held = [fleet.spawn_that(remote, tmp_path / str(slot), HANGS) for slot in range(SLOTS)]
    for agent_id in held:
        fleet.await_phase(agent_id, "executing")
    waiting = fleet.spawn_that(remote, tmp_path / "waiting", HANGS)
    assert fleet.state(waiting)["phase"] == "queued"
    status, _ = fleet.kill(waiting)
    receipt = fleet.receipt(waiting)
    assert status == 200
    assert (receipt["confirmedBy"], receipt["durationMs"]) == ("state", 0)
    assert "worker" not in receipt
    assert fleet.kill_all() == all_killed(SLOTS)
    # Its message is still there: delivered before that of an agent behind it, it does nothing.
    behind = fleet.spawn_that(remote, tmp_path / "behind", HANGS)
    fleet.await_phase(behind, "executing")
    assert (fleet.state(waiting)["status"], fleet.state(waiting)["attempt"]) == ("killed", 0)
    assert [*(tmp_path / "waiting").iterdir()] == [tmp_path / "waiting" / "program.sh"]


def test_a_kill_ends_a_clone_that_hangs(fleet: Fleet, observer: Observer, tmp_path: Path):
    agent_id = fleet.spawn(f"ssh://localhost{tmp_path}")
    observer.note_agent(agent_id, tmp_path)
    state = fleet.state(agent_id)
    assert (state["status"], state["phase"]) == ("spawning", "preparing")
    status, _ = fleet.kill(agent_id)
    assert status == 200
    assert observer.alive() == set()
    receipt = fleet.receipt(agent_id)
    assert (receipt["confirmedBy"], receipt["phaseBefore"]) == ("worker", "preparing")


def test_a_kill_ends_gates_and_the_daemons_they_left(
    fleet: Fleet, observer: Observer, tmp_path: Path
):
    pids = tmp_path / "pids"
    pids.mkdir()
    gate = (
        "import os\n"
        f"def there(): open('{pids}/' + str(os.getpid()), 'w').close()\n"
        "there()\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    there()\n"
        "    os.execve('/bin/sleep', ['sleep', '600'], {})\n"
        "import time; time.sleep(600)\n"
    )
    remote = make_remote(
        tmp_path,
        {
            "pyproject.toml": '[tool.orchestrator.gates]\ntests = "python3 gate.py"\n',
            "gate.py": gate,
        },
    )
    agent_id = fleet.spawn(remote, CHANGES, {"say": "Done."})
    observer.note_agent(agent_id, pids, at_least=2)
    assert fleet.state(agent_id)["phase"] == "gating"
    status, _ = fleet.kill(agent_id)
    assert status == 200
    assert observer.alive() == set()
    receipt = fleet.receipt(agent_id)
    assert (receipt["confirmedBy"], receipt["phaseBefore"]) == ("worker", "gating")
    assert len(receipt["pids"]) >= 2
    # Its clean checkouts go although nothing may be started for it any more.
    eventually(lambda: not checkouts(fleet))
    assert git("for-each-ref", "refs/heads/agent", cwd=remote) == ""


def checkouts(fleet: Fleet) -> list[Path]:
    """Return what stands where gates work."""
    return [*fleet.system.home.glob("candidates/*")]


def test_a_kill_ends_a_push_and_the_receipt_says_what_the_remote_has(
    fleet: Fleet, observer: Observer, tmp_path: Path
):
    for hook, is_there in (("pre-receive", False), ("post-receive", True)):
        folder = tmp_path / hook
        remote = make_remote(folder, SAMPLE)
        pids = folder / "pids"
        pids.mkdir()
        (remote / "hooks" / hook).write_text(f"#!/bin/sh\n: >{pids}/$$\nexec sleep 600\n")
        (remote / "hooks" / hook).chmod(0o755)
        agent_id = fleet.spawn(remote, CHANGES, {"say": "Done."})
        observer.note_agent(agent_id, pids)
        assert fleet.state(agent_id)["phase"] == "delivering"
        status, _ = fleet.kill(agent_id)
        assert status == 200
        assert observer.alive() == set()
        commit = git("for-each-ref", "--format=%(objectname)", "refs/heads/agent", cwd=remote)
        assert bool(commit) is is_there
        assert fleet.receipt(agent_id)["remote"] == f"agent/{agent_id}: {commit or 'absent'}"
        assert fleet.state(agent_id)["status"] == "killed"
