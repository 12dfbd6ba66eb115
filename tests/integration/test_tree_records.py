"""A kill is confirmed by what was seen: a supervisor's last word, an empty cgroup or namespace."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from orchestrator.control.submit import SubmitService
from orchestrator.errors import BackendUnavailable, KillUnconfirmed, SettingsInvalid
from orchestrator.host.processes import Host, process_label
from orchestrator.host.tree_records import TreeRecords
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.maintenance.orphan_processes import UNPROVEN, HostCleaner
from orchestrator.sandboxes.process import ProcessTree, build
from orchestrator.settings import load_settings
from orchestrator.store import kills
from orchestrator.store.kills import KillOrder
from orchestrator.wiring import clock, kill_switch, new_id
from orchestrator.wiring.host import host_cleaner
from tests.processes import eventually

#: A daemon in its own session, without environment; it writes its pid, and its name is unique.
DAEMON = """
import os, sys, time
if os.fork():
    time.sleep(600)
os.setsid()
if os.fork():
    os._exit(0)
os.execve("/bin/sh", ["sh", "-c", "echo $$ >daemon; exec sleep 600"], {})
"""


@pytest.fixture(params=["shim", "cgroup", "bubblewrap"])
def sandbox(request, settings):
    given = {"ORCHESTRATOR_HOME": str(settings.home), "ORCHESTRATOR_PROCESS_LEVEL": request.param}
    try:
        return build(load_settings(given))
    except (SettingsInvalid, BackendUnavailable) as error:
        pytest.skip(str(error))


@pytest.fixture
def settings(valkey_url, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return load_settings({"VALKEY_URL": valkey_url, "ORCHESTRATOR_HOME": str(home)})


@pytest.fixture
def records(settings):
    return TreeRecords(settings.home)


def spec(folder: Path, agent_id: str = "a-1") -> ProcessSpec:
    folder.mkdir(exist_ok=True)
    program = (sys.executable, "-I", "-S", "-c", DAEMON)
    return ProcessSpec(agent_id, program, {"PATH": os.environ["PATH"]}, folder, attempt=1)


def kill_shim(process: ProcessTree, folder: Path) -> None:
    eventually(lambda: (folder / "daemon").exists() and (folder / "daemon").read_text().strip())
    os.kill(process._shim.pid, signal.SIGKILL)
    while process.exit_code is None:
        process.read(20)


def test_a_tree_that_ends_leaves_no_record(sandbox, records, tmp_path):
    with sandbox.start(spec(tmp_path / "tree")) as process:
        assert [path.name.partition(".")[0] for path in (records._folder).iterdir()] == ["a-1"]
        # Its supervisor lives, so nothing speaks against it.
        assert records.is_proven("a-1")
        process.kill()
    assert not list(records._folder.iterdir())
    assert records.is_proven("a-1")


def test_after_a_killed_supervisor_only_the_kernel_proves_the_end(
    sandbox, settings, records, tmp_path
):
    folder = tmp_path / "tree"
    with sandbox.start(spec(folder)) as process:
        kill_shim(process, folder)
        daemon = int((folder / "daemon").read_text())
        if sandbox.level == "shim":
            assert records.agents() == {"a-1"}
            Host(settings.home).end_orphans(within_s=60)
            assert process_label(daemon), "it has no label"
            os.kill(daemon, signal.SIGKILL)
            eventually(lambda: not process_label(daemon))
            # Nobody knows that it was the only one.
            assert not records.is_proven("a-1")
        elif sandbox.level == "cgroup":
            assert not records.is_proven("a-1")
            Host(settings.home).end_orphans(within_s=60)
            eventually(lambda: records.is_proven("a-1"))
        else:
            eventually(lambda: records.is_proven("a-1"))
            assert not list(records._folder.iterdir())


def test_a_namespace_with_a_process_in_it_proves_nothing(records, settings):
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    record = Path(records.begin("a-2", 1) + ".1:1")
    record.write_text(f"{boot.strip()}\n\n{Path('/proc/self/ns/pid').readlink()}\n")
    assert not records.is_proven("a-2")
    # A process of an earlier boot has ended.
    record.write_text("another-boot\n\n\n")
    assert records.is_proven("a-2")
    for damaged in ("", f"{boot}", "\n\n\n", f"{boot.strip()}\n/nowhere/at/all\n\n"):
        record.write_text(damaged)
        assert not records.is_proven("a-2")


@pytest.fixture
def killed(store, settings, tmp_path):
    """An agent that a worker of this host held when it was killed; the worker is gone."""
    door = SubmitService("scripted", frozenset({"scripted"}), clock, new_id)
    context = {"repository": str(tmp_path / "x.git"), "branch": "main", "workItems": ["x"]}
    body = {"taskId": "t", "agentType": "worker", "context": context}
    agent_id = store.run(door.submit(body)).agent_id
    leases = AgentLeases(store, clock, new_id, worker="spawn@here", process="1:1", lease_s=30)
    assert leases.claim(agent_id)
    kill = kill_switch(settings).kill(agent_id, KillOrder("ann", "", False), timeout_s=0.01)
    with pytest.raises(KillUnconfirmed, match="not confirmed"):
        store.follow(kill)
    return agent_id


def cleaner(settings, store, records) -> HostCleaner:
    made = host_cleaner(settings, worker="spawn@here")
    parts = made.leftovers, made.work_saver, made.holder
    return HostCleaner(store, Host(settings.home), "here", *parts, records)


def test_the_absence_of_labels_confirms_no_kill_whose_supervisor_left_its_record(
    settings, store, records, killed
):
    record = Path(records.begin(killed, 1) + ".1:1")
    record.touch()
    last = store.run(kills.last_ack())
    cleaner(settings, store, records).sweep()
    receipt = store.run(kills.read_receipt(killed))
    assert (receipt.confirmed, receipt.unproven, receipt.proof) == (False, UNPROVEN, None)
    # Whoever waits is told at once, and only once.
    heard = store.run(kills.await_acks(last, block_ms=1000))
    assert heard.agent_ids == (killed,)
    cleaner(settings, store, records).sweep()
    assert not store.run(kills.await_acks(heard.last, block_ms=1)).agent_ids
    kill = kill_switch(settings).kill(killed, KillOrder("ann", "", False), timeout_s=0.01)
    with pytest.raises(KillUnconfirmed, match="is unproven"):
        store.follow(kill)
    record.unlink()
    cleaner(settings, store, records).sweep()
    receipt = store.run(kills.read_receipt(killed))
    assert (receipt.confirmed, receipt.unproven, receipt.proof) == (True, None, "supervisor")


def test_a_kill_is_not_confirmed_while_a_process_lives_on_and_it_is_named(
    settings, store, records, killed, monkeypatch
):
    monkeypatch.setattr(Host, "orphans", lambda _: {killed: (7, 8)})
    cleaner(settings, store, records).sweep()
    receipt = store.run(kills.read_receipt(killed))
    assert (receipt.confirmed, receipt.survivors) == (False, (7, 8))
    monkeypatch.undo()
    cleaner(settings, store, records).sweep()
    assert store.run(kills.read_receipt(killed)).confirmed
