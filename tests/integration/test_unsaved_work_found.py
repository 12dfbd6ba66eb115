"""An operator finds the work that a host set aside, and gets it as a file."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from orchestrator.errors import GitFailed, StoreUnreachable
from orchestrator.wiring.host import consistency_check
from tests.integration.conftest import git
from tests.integration.ending import Fault, Host
from tests.integration.test_ends_keep_work import MADE


@pytest.fixture
def set_aside(host):
    """An agent whose final capture and salvage failed."""
    agent_id = host.spawn(MADE)
    host.run(agent_id, Fault("capture", GitFailed("fatal: no."), times=2))
    return agent_id


@pytest.fixture
def not_taken(host):
    """An agent whose bundle Valkey did not take."""
    agent_id = host.spawn(MADE)
    host.run(agent_id, Fault("store", StoreUnreachable(), times=2))
    return agent_id


def orch(host: Host, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a folder."""
    settings = host.settings
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd),
        "VALKEY_URL": settings.valkey_url,
        "ORCHESTRATOR_HOME": str(settings.home),
        "ORCHESTRATOR_PROCESS_LEVEL": "shim",
    }
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_fsck_lists_it_with_its_reason_its_folder_and_the_command(host, set_aside, tmp_path):
    ended = orch(host, tmp_path, "fsck")
    assert ended.returncode == 1
    (line,) = [one for one in ended.stdout.splitlines() if one.startswith("work-not-stored")]
    assert set_aside in line
    assert "fatal: no." in line
    assert host.state(set_aside).not_saved.path in line
    assert f"orch export {set_aside}" in line


def test_export_writes_an_archive_of_the_folder(host, set_aside, tmp_path):
    ended = orch(host, tmp_path, "export", set_aside)
    assert ended.returncode == 0, ended.stderr
    (file,) = tmp_path.glob("*.tar.gz")
    assert file.name == f"{set_aside}.attempt-1.tar.gz"
    assert file.stat().st_mode & 0o077 == 0
    with tarfile.open(file) as archive:
        made = archive.extractfile("workspace/tree/made.txt")
        assert made is not None
        assert made.read() == b"made\n"
    assert host.state(set_aside).not_saved is not None


def test_export_writes_the_bundle_where_one_was_made(host, not_taken, tmp_path):
    target = tmp_path / "its.bundle"
    ended = orch(host, tmp_path, "export", not_taken, "--output", str(target))
    assert ended.returncode == 0, ended.stderr
    git("clone", "-q", str(host.remote), "clone", cwd=tmp_path)
    git("fetch", "-q", str(target), "refs/orchestrator/change", cwd=tmp_path / "clone")
    assert git("show", "FETCH_HEAD:made.txt", cwd=tmp_path / "clone") == "made"


def test_an_archive_has_what_the_agent_closed_and_linked(host, set_aside, tmp_path):
    tree = Path(host.state(set_aside).not_saved.path)
    (tree / "loop").symlink_to("loop")
    (tree / "closed").mkdir()
    (tree / "closed" / "file").write_text("closed\n")
    (tree / "closed").chmod(0)
    os.mkfifo(tree / "pipe")
    ended = orch(host, tmp_path, "export", set_aside)
    assert ended.returncode == 0, ended.stderr
    (file,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = set(archive.getnames())
    assert {"workspace/tree/loop", "workspace/tree/pipe", "workspace/tree/made.txt"} <= names
    assert "workspace/tree/closed/file" in names or "closed" in ended.stderr


def test_another_host_is_named(host, set_aside, tmp_path):
    folder = host.settings.workspaces_dir / ".unsaved"
    folder.rename(tmp_path / "elsewhere")
    for verb in ("export", "diff"):
        ended = orch(host, tmp_path, verb, set_aside)
        assert ended.returncode != 0
        assert "here:" in ended.stderr
        assert f"On here, run `orch export {set_aside}`" in ended.stderr
        assert "fatal: no." in ended.stderr


def test_fsck_stores_it_at_once_where_that_works_by_now(host, set_aside):
    (drift,) = [
        one
        for one in consistency_check(host.settings, host.store).check()
        if one.kind == "work-not-stored"
    ]
    drift.repair()
    assert host.stored(set_aside)["made.txt"] == "made"
    assert host.state(set_aside).not_saved is None
    kinds = {one.kind for one in consistency_check(host.settings, host.store).check()}
    assert "work-not-stored" not in kinds


def test_fsck_goes_on_where_it_still_does_not_work(host, set_aside, tmp_path):
    tree = Path(host.state(set_aside).not_saved.path)
    origin = tree.parent.parent / "origin.json"
    origin.write_text(origin.read_text().replace('"base_commit": "', '"base_commit": "0000'))
    ended = orch(host, tmp_path, "fsck", "--fix")
    assert ended.returncode == 1
    assert "not repaired: work-not-stored" in ended.stderr
    assert (tree / "made.txt").read_text() == "made\n"


def test_fsck_names_a_folder_of_which_nothing_is_known(host, set_aside, tmp_path):
    folder = Path(host.state(set_aside).not_saved.path).parent.parent
    (folder / "origin.json").write_text("{")
    ended = orch(host, tmp_path, "fsck")
    assert f"work-not-stored  {folder}" in ended.stdout
