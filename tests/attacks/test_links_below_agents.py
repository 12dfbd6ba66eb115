"""What an agent left in its folders leads no step of ours out of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.host.folders import MOST_LEVELS, files_below
from orchestrator.workspace.include import include


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "theirs").write_text("kept")
    return folder


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    folder = tmp_path / "worktree"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What the operator has beside the repository: files that git ignores."""
    folder = tmp_path / "source"
    (folder / "conf" / "deep").mkdir(parents=True)
    for name in ("conf/.env", "conf/deep/theirs", "top.env"):
        (folder / name).write_text("SECRET=1")
    (folder / "top.env").chmod(0o640)
    return folder


PATTERNS = "conf/\n*.env\n"


def test_what_is_named_is_copied_with_its_mode(source, worktree):
    assert include(source, PATTERNS, worktree) == 3
    assert (worktree / "conf" / "deep" / "theirs").read_text() == "SECRET=1"
    assert (worktree / "top.env").stat().st_mode & 0o777 == 0o640
    assert (worktree / "top.env").stat().st_mtime_ns == (source / "top.env").stat().st_mtime_ns
    assert include(source, PATTERNS, worktree) == 0


@pytest.mark.parametrize("at", ["conf", "conf/deep", "conf/.env", "top.env"])
@pytest.mark.parametrize("names", ["a folder", "a file", "nothing"])
def test_no_link_of_the_worktree_is_written_through(source, worktree, outside, at, names):
    target = {"a folder": outside, "a file": outside / "theirs", "nothing": outside / "new"}
    link = worktree / at
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target[names])
    include(source, PATTERNS, worktree)
    assert [path.name for path in outside.iterdir()] == ["theirs"]
    assert (outside / "theirs").read_text() == "kept"
    assert link.is_symlink()
    if at != "top.env":
        assert (worktree / "top.env").read_text() == "SECRET=1", "the others are copied"


def test_a_worktree_that_became_a_link_is_refused(source, worktree, outside):
    worktree.rmdir()
    worktree.symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        include(source, PATTERNS, worktree)
    assert [path.name for path in outside.iterdir()] == ["theirs"]
    assert list(files_below(worktree)) == []


def test_no_link_of_the_source_is_read_through(source, worktree, outside):
    (source / "conf" / "link.env").symlink_to(outside / "theirs")
    (source / "conf" / "folder").symlink_to(outside)
    os.mkfifo(source / "conf" / "pipe.env")
    assert include(source, PATTERNS, worktree) == 3


def test_a_folder_exchanged_for_a_link_during_the_walk_is_not_listed(worktree, outside):
    """The walk has the name of a folder, and then it is another thing."""
    for name in ("a", "b"):
        (worktree / name).mkdir()
        (worktree / name / "own").write_text("")
    walk = files_below(worktree)
    assert next(walk)[0] == "a/own"
    (worktree / "b" / "own").unlink()
    (worktree / "b").rmdir()
    (worktree / "b").symlink_to(outside)
    assert list(walk) == []


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_folders_in_folders_without_end_end_the_walk_and_leave_no_descriptor(worktree):
    before = descriptors()
    here = os.open(worktree, os.O_RDONLY)
    for _ in range(4 * MOST_LEVELS):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    for name in ("z", "d/d/d/y"):
        (worktree / name).write_text("")
    assert [path for path, _ in files_below(worktree)] == ["d/d/d/y", "z"]
    half = files_below(worktree)
    assert next(half)[0] == "d/d/d/y"
    half.close()
    assert descriptors() == before
