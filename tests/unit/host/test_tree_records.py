"""The records of process trees: what the kernel must show before a tree counts as ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.host import tree_records
from orchestrator.host.processes import process_label
from orchestrator.host.tree_records import TreeRecords
from tests.disks import small_disk

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
#: No process has such a pid.
GONE = f"{2**22 + 1}:1"
OWN_NAMESPACE = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path


@pytest.fixture
def records(tmp_path):
    return TreeRecords(tmp_path)


def keep(records: TreeRecords, content: str, supervisor: str = GONE, agent: str = "a-1") -> Path:
    """Write a record as a supervisor does."""
    path = Path(f"{records.begin(agent, 1)}.{supervisor}")
    path.write_text(content)
    return path


def cgroup(tmp_path: Path, events: str | None) -> str:
    folder = tmp_path / "cgroups" / "worker" / "agent"
    folder.mkdir(parents=True)
    if events is not None:
        (folder / "cgroup.events").write_text(events)
    return str(folder)


def test_without_a_record_every_end_was_seen(records):
    assert records.is_proven("a-1")
    assert records.agents() == records.supervisors() == frozenset()


@pytest.mark.parametrize(
    "content", ["", f"{BOOT}\n\n", BOOT, f"{BOOT}\n\n{OWN_NAMESPACE}", f"\n\n{OWN_NAMESPACE}"]
)
def test_a_tree_without_evidence_is_not_proven_and_its_record_stays(records, content):
    path = keep(records, content)
    for _ in range(2):
        assert not records.is_proven("a-1")
    assert path.exists()
    assert records.agents() == {"a-1"}
    assert records.is_proven("a-2")


@pytest.mark.parametrize(
    "content", [f"another-boot\n\n{OWN_NAMESPACE}", f"{BOOT}\n\npid:[1]", "\n\npid:[1]"]
)
def test_a_boot_since_or_an_empty_namespace_proves_the_end(records, content):
    path = keep(records, content)
    assert records.agents() == frozenset()
    assert not path.exists()


def test_a_read_only_disk_keeps_a_record_and_proves_the_end_at_each_look(tmp_path):
    """`orch kill-all --local` ended all agents there, and then a traceback hid it."""
    with small_disk(tmp_path / "home", "1m") as home:
        records = TreeRecords(home)
        path = keep(records, "another-boot\n\n")
        subprocess.run(["mount", "-o", "remount,ro", home], check=True)
        assert records.is_proven("a-1")
        assert records.agents() == frozenset()
        assert path.exists()


@pytest.mark.parametrize(
    ("events", "is_proven"),
    [("populated 0\nfrozen 0\n", True), ("populated 1\nfrozen 0\n", False), (None, True)],
)
def test_an_empty_or_removed_cgroup_proves_the_end(records, tmp_path, events, is_proven):
    keep(records, f"{BOOT}\n{cgroup(tmp_path, events)}")
    assert records.is_proven("a-1") is is_proven


def test_a_cgroup_in_a_hierarchy_that_is_not_there_proves_nothing(records, tmp_path):
    keep(records, f"{BOOT}\n{tmp_path}/nowhere/worker/agent")
    assert not records.is_proven("a-1")


def test_a_full_cgroup_beside_an_empty_namespace_proves_the_end(records, tmp_path):
    """Nothing leaves a PID namespace; a program may leave a cgroup."""
    keep(records, f"{BOOT}\n{cgroup(tmp_path, 'populated 1')}\npid:[1]")
    assert records.is_proven("a-1")


def test_a_live_supervisor_is_named_and_is_no_evidence(records):
    path = keep(records, "", process_label(os.getpid()))
    assert records.supervisors() == {os.getpid()}
    assert records.is_proven("a-1")
    assert path.exists()


@pytest.mark.parametrize(
    "supervisor",
    # Each process of a parallel run must find the same ids.
    [pytest.param(f"{os.getpid()}:1", id="born at another instant"), GONE, "x", "", "x:1"],
)
def test_a_name_that_is_not_of_a_live_process_names_no_supervisor(records, supervisor):
    keep(records, "", supervisor)
    assert records.supervisors() == frozenset()
    assert not records.is_proven("a-1")


def test_a_supervisor_that_nobody_has_waited_for_does_not_live(records):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        label = process_label(process.pid)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        keep(records, "", label)
        assert records.supervisors() == frozenset()
        assert not records.is_proven("a-1")


@pytest.mark.parametrize(("levels", "is_proven"), [(1, True), (2, False)])
def test_a_process_that_may_not_be_examined_counts_if_it_has_an_id_in_a_namespace_below(
    records, monkeypatch, levels, is_proven
):
    def refuse(_path: object) -> str:
        raise PermissionError

    keep(records, f"{BOOT}\n\npid:[1]")
    own = Path("/proc/self/status")
    monkeypatch.setattr(os, "readlink", refuse)
    monkeypatch.setattr(tree_records, "_levels", lambda status: 1 if status == own else levels)
    assert records.is_proven("a-1") is is_proven


def test_one_tree_of_several_without_proof_is_enough(records):
    ended = keep(records, "another-boot")
    left = keep(records, "", f"{2**22 + 2}:1")
    assert not records.is_proven("a-1")
    assert list(left.parent.iterdir()) == [left] != [ended]
