"""`orch fsck` sees each kind of drift, mends it only when told, and then sees none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.host.processes import Host, system_label
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.consistency import ConsistencyCheck
from orchestrator.messages import queue_key
from orchestrator.models import Status
from orchestrator.settings import load_settings
from orchestrator.store import agents, keys
from orchestrator.wiring import clock, new_id
from orchestrator.wiring.host import work_saver

BODY = {
    "taskId": "t-1",
    "agentType": "worker",
    "context": {"repository": "/srv/git/x.git", "branch": "main", "workItems": ["do it"]},
}


@pytest.fixture
def fsck(store, tmp_path):
    settings = load_settings({"ORCHESTRATOR_HOME": str(tmp_path)})
    remove = work_saver(settings, store, worker="fsck@here").remove
    return ConsistencyCheck(
        store, Host(tmp_path), tmp_path, tmp_path / "workspaces", clock, new_id, remove
    )


@pytest.fixture
def holder(store):
    return AgentLeases(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)


@pytest.fixture
def agent_id(store):
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    return store.run(door.submit(BODY)).agent_id


def kinds(fsck) -> list[str]:
    return [drift.kind for drift in fsck.check()]


def mend(fsck) -> None:
    for drift in fsck.check():
        drift.repair()


def test_a_system_at_work_agrees(store, fsck, holder, agent_id):
    assert kinds(fsck) == []
    agent = holder.start(holder.claim(agent_id), base_commit="abc")
    store.run(agents.find(agent_id))
    assert agent.status is Status.RUNNING
    # Its message is still in the queue of this test: delivered again it does nothing.
    assert kinds(fsck) == []


@pytest.mark.parametrize(
    ("breakage", "kind"),
    [
        (lambda client, _: client.delete(queue_key("spawn", 5)), "message-missing"),
        (lambda client, _: client.delete(keys.AWAITING), "message-unwatched"),
        (lambda client, _: client.zadd(keys.AWAITING, {"gone": 1}), "message-unawaited"),
        (lambda client, agent_id: client.zadd(keys.LEASES, {agent_id: 1}), "orphaned-lease"),
        (lambda client, _: client.zadd(keys.LEASES, {"gone": 1}), "orphaned-lease"),
        (lambda client, _: client.zadd(keys.DELAYED, {"gone": 1}), "orphaned-delay"),
        (
            lambda client, agent_id: client.zadd(keys.status_index("running"), {agent_id: 1}),
            "index-wrong",
        ),
        (
            lambda client, agent_id: client.zrem(keys.status_index("spawning"), agent_id),
            "index-missing",
        ),
        (lambda client, _: client.zadd(keys.listed("running"), {"gone": 1}), "index-wrong"),
        (
            lambda client, agent_id: client.zrem(keys.listed("spawning"), agent_id),
            "index-missing",
        ),
        (lambda client, agent_id: client.delete(keys.trail(agent_id)), "trail-missing"),
        (lambda client, _: client.zadd(keys.AGENTS, {"gone": 1}), "record-missing"),
        (lambda client, _: client.zadd(keys.UNCONFIRMED, {"gone": 1}), "orphaned-kill"),
    ],
)
def test_what_disagrees_in_valkey_is_seen_and_mended(client, fsck, agent_id, breakage, kind):
    breakage(client, agent_id)
    assert kinds(fsck) == [kind]
    assert kinds(fsck) == [kind], "looking changes nothing"
    mend(fsck)
    assert kinds(fsck) == []


def test_an_agent_that_lost_its_lease_is_left_to_the_sweep(client, fsck, holder, agent_id):
    holder.start(holder.claim(agent_id), base_commit="abc")
    client.zrem(keys.LEASES, agent_id)
    assert kinds(fsck) == ["lease-missing"]
    mend(fsck)
    assert client.zscore(keys.LEASES, agent_id) == 0


def test_a_record_that_cannot_be_read_is_told_and_nothing_of_it_is_taken_away(
    client, fsck, holder, tmp_path, agent_id
):
    holder.start(holder.claim(agent_id), base_commit="abc")
    (tmp_path / "workspaces" / agent_id / "tree").mkdir(parents=True)
    record = json.loads(client.get(keys.agent(agent_id)))
    client.set(keys.agent(agent_id), json.dumps({**record, "fromTomorrow": 1}))
    (drift,) = fsck.check()
    assert (drift.kind, drift.subject, drift.repair) == ("record-malformed", agent_id, None)


def test_what_is_left_on_the_host_is_seen_and_removed(fsck, tmp_path, agent_id):
    left = tmp_path / "workspaces" / "gone" / "tree"
    left.mkdir(parents=True)
    kept = tmp_path / "workspaces" / agent_id
    kept.mkdir()
    orphan = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"],
        env={"ORCH_AGENT_ID": "gone", "ORCH_SYSTEM": system_label(tmp_path)},
        stdout=subprocess.PIPE,
    )
    with orphan:
        assert orphan.stdout.readline()
        assert sorted(kinds(fsck)) == ["folder-left", "orphaned-process"]
        mend(fsck)
        assert orphan.wait() < 0
    assert not left.exists()
    assert kept.exists()
    assert kinds(fsck) == []


def orch(tmp_path: Path, valkey_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "fsck", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "ORCHESTRATOR_HOME": str(tmp_path),
            "VALKEY_URL": valkey_url,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_changes_nothing_until_it_is_told(client, valkey_url, tmp_path, agent_id):
    client.delete(queue_key("spawn", 5))
    seen = orch(tmp_path, valkey_url)
    assert (seen.returncode, seen.stdout) == (
        1,
        f"message-missing  {agent_id}  it is queued, and no queue has its message\n",
    )
    assert client.llen(queue_key("spawn", 5)) == 0
    mended = orch(tmp_path, valkey_url, "--fix", "--json")
    assert mended.returncode == 0
    assert json.loads(mended.stdout)["left"] == 0
    assert client.llen(queue_key("spawn", 5)) == 1
    clean = orch(tmp_path, valkey_url)
    assert (clean.returncode, clean.stderr) == (0, "orch: everything agrees\n")
