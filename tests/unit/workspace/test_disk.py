"""Whatever an agent left, its workspace can be removed, and what that frees is told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.errors import DiskFull, DiskQuotaExceeded
from orchestrator.stages.spawn.monitors.disk import DiskMonitor
from orchestrator.workspace import disk
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.disk import (
    free_bytes,
    fullness,
    lack_of_space,
    make_folder_of_trees,
    naming_full_disk,
    remove_tree,
    reports_full_disk,
    reports_unwritable_disk,
    sync_file_system,
    used_bytes,
)
from tests.disks import small_disk
from tests.processes import eventually

from .conftest import NOBODY, Host

DEPTH = 2_000
FILES = 20_000
SIZE_BYTES = 3 * 2**20

#: Fills the folder on its command line, which is its user's; then closes what can be closed.
LITTER = f"""
import os, socket, stat, sys
root = sys.argv[1]
os.chdir(root)
os.mkfifo("pipe")
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("socket")
for number in range(0 if os.getuid() else 3):
    os.mknod(f"device{{number}}", stat.S_IFBLK | 0o666, os.makedev(7, number))
with open("setuid", "wb") as file:
    file.write(bytes({SIZE_BYTES}))
os.chmod("setuid", 0o6755)
os.symlink("/", "out")
os.mkdir("many")
for number in range({FILES}):
    open(f"many/{{number}}", "w").close()
for number in range({DEPTH}):
    os.mkdir("deep")
    os.chdir("deep")
open("file", "w").close()
os.chdir(root)
for name, mode in (("closed", 0), ("read-only", 0o500), ("unlisted", 0o300)):
    os.makedirs(f"{{name}}/{{name}}")
    open(f"{{name}}/file", "w").close()
    os.chmod(f"{{name}}/{{name}}", mode)
    os.chmod(name, mode)
os.chmod("many", 0)
"""
REMOVE = """
import sys
from pathlib import Path
from orchestrator.workspace.disk import remove_tree
print(remove_tree(Path(sys.argv[1])))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user can reach."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o777)
        yield Path(made)


@pytest.mark.parametrize("user", [os.getuid(), NOBODY])
def test_a_workspace_full_of_everything_is_removed_by_its_own_user(folder: Path, user: int):
    if user != os.getuid() != 0:
        pytest.skip("only root may start a program as another user")
    python = sys.executable if user == os.getuid() else "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip("there is no Python that another user may run")
    root = Path(__file__).parents[3]
    outside = folder / "outside"
    outside.write_text("kept")
    workspace = folder / "workspace"
    workspace.mkdir()
    os.chown(workspace, user, user)

    def play(program: str) -> str:
        ran = subprocess.run(
            (python, "-c", program, str(workspace)),
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join((str(root), *sys.path))},
            cwd="/",
            user=user,
            group=user,
            extra_groups=(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    play(LITTER)
    folder.chmod(0o777)
    assert int(play(REMOVE)) >= SIZE_BYTES
    assert not os.path.lexists(workspace)
    assert outside.read_text() == "kept"


def test_what_was_freed_is_what_was_used(folder: Path):
    before = folder / "tree"
    before.mkdir()
    (before / "file").write_bytes(bytes(SIZE_BYTES))
    os.link(before / "file", before / "again")
    used = used_bytes(before, within_s=60)
    assert SIZE_BYTES <= used < 2 * SIZE_BYTES
    assert remove_tree(before) == used
    assert remove_tree(before) == 0


def test_an_agent_over_its_quota_ends_with_both_numbers(folder: Path):
    watch = DiskMonitor(folder, quota_bytes=SIZE_BYTES)
    (folder / "half").write_bytes(bytes(SIZE_BYTES // 2))
    watch.check()
    eventually(lambda: watch._used_bytes)
    watch.check()
    (folder / "more").write_bytes(bytes(SIZE_BYTES))

    def is_over() -> bool:
        # As if its time had come; else it is measured again in ten seconds.
        watch._next_s = 0
        try:
            watch.check()
        except DiskQuotaExceeded as error:
            used, quota = (int(word) for word in error.detail.split() if word.isdecimal())
            return used > quota == SIZE_BYTES
        return False

    eventually(is_over)


def test_below_the_low_water_mark_there_is_no_room_and_no_spare_is_made(make_host, upstream):
    full: Host = make_host("full", ORCHESTRATOR_DISK_LOW_WATER="1000TiB")
    base = full.mirrors.refresh(upstream.url, "main")
    workspaces: Workspaces = full.workspaces
    assert "low-water mark" in workspaces.lacks_space()
    workspaces.prepare_spare(base)
    assert not list(full.settings.workspaces_dir.glob(".spare/*/*"))
    roomy: Host = make_host("roomy", ORCHESTRATOR_DISK_LOW_WATER="1")
    assert roomy.workspaces.lacks_space() == ""


def test_no_agent_starts_where_no_file_can_be_made(folder: Path):
    """Each attempt failed at once, until no retry was left; the bytes were free all the time."""
    with small_disk(folder / "disk", "64m", "nr_inodes=500") as where:
        assert lack_of_space(where / "workspaces", 1) == ""
        for number in range(480):
            (where / str(number)).touch()
        assert "inodes free" in lack_of_space(where / "workspaces", 1)
        # An agent that failed here did not fail for the disk, until it is full.
        assert fullness(where) == ""
        with suppress(OSError):
            for number in range(480, 520):
                (where / str(number)).touch()
        assert "0 inodes free" in fullness(where)
    with small_disk(folder / "read-only", "64m", "ro") as where:
        assert "Read-only" in lack_of_space(where / "workspaces", 1)
        with pytest.raises(DiskFull, match="Read-only file system"), naming_full_disk(where):
            (where / "file").touch()


def test_a_disk_that_has_failed_takes_no_agent_though_its_flags_say_that_it_is_writable(
    folder: Path, monkeypatch
):
    """ext4 since Linux 6.15, after an error of its disk."""

    def failed(*_given, **_more):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(disk.os, "open", failed)
    assert "Read-only" in lack_of_space(folder / "workspaces", 1)
    assert "Read-only" in fullness(folder)


def test_a_file_system_that_cannot_be_synced_is_an_error(folder: Path):
    sync_file_system(folder)
    with pytest.raises(DiskFull, match="No such file"):
        sync_file_system(folder / "absent")


def test_a_file_system_without_nameless_files_takes_agents(folder: Path, monkeypatch):
    monkeypatch.setattr(disk.os, "O_TMPFILE", os.O_DIRECTORY | os.O_CREAT)
    assert lack_of_space(folder, 1) == ""


@pytest.mark.parametrize(
    ("said", "is_full", "is_unwritable"),
    [
        ("error: unable to create file x: No space left on device", True, True),
        ("error: cannot lock ref 'x': Unable to create 'x': Read-only file system", False, True),
        ("remote: error: x: Read-only file system", False, False),
        ("pip: [Errno 13] Permission denied: '/usr/lib'", False, False),
    ],
)
def test_a_read_only_disk_is_a_fault_of_the_host_outside_of_sandboxes(
    said: str, *, is_full: bool, is_unwritable: bool
):
    text = f"warning: first\n{said}\n"
    assert (reports_full_disk(text), reports_unwritable_disk(text)) == (is_full, is_unwritable)


def test_the_space_left_is_told_of_a_folder_that_is_yet_to_be_made(folder: Path):
    assert free_bytes(folder / "a" / "b") > 0


def test_trees_of_a_folder_are_spread_where_the_file_system_can(tmp_path):
    """On ext4 the folder is the top of a hierarchy; elsewhere it is a folder."""
    folder = tmp_path / "trees"
    make_folder_of_trees(folder)
    make_folder_of_trees(folder)
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, check=True)
    shown = subprocess.run(["lsattr", "-d", folder], capture_output=True, text=True, check=False)
    is_spread = "T" in shown.stdout.partition(" ")[0]
    assert folder.is_dir()
    assert is_spread == (kind.stdout.strip() == b"ext2/ext3")


def test_an_attribute_that_the_file_system_lacks_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_SET_ATTRIBUTES", 0)
    make_folder_of_trees(tmp_path / "trees")
    assert (tmp_path / "trees").is_dir()
