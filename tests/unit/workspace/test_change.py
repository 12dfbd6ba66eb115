"""Whatever the agent did to its repository, its tree arrives whole, or the capture fails typed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import (
    ChangeEmpty,
    ChangeTooLarge,
    DiskFull,
    GitFailed,
    GitKilled,
    WorkspaceLost,
)
from orchestrator.workspace.change import explain, read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.unit.workspace.bundles import LIMIT, bundle_of_change, files_received
from tests.unit.workspace.conftest import Host, Upstream, capture, git


def test_committed_and_uncommitted_work_travels_and_ignored_files_do_not(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    (tree / "one").write_text("1")
    git(tree, "add", "one")
    git(tree, "commit", "--quiet", "-m", "own")
    (tree / "two").write_text("2")
    (tree / "README.md").unlink()
    (tree / "build").mkdir()
    (tree / "build/out").touch()
    arrived = files_received(host, base, bundle_of_change(workspace, base))
    assert arrived == {".gitignore": "build/", "one": "1", "two": "2"}


def _rewind(tree: Path) -> None:
    git(tree, "reset", "--quiet", "--hard", "HEAD~1")


def _orphan(tree: Path) -> None:
    git(tree, "checkout", "--quiet", "--orphan", "mine")


def _rewrite(tree: Path) -> None:
    git(tree, "commit", "--quiet", "--amend", "--allow-empty", "-m", "rewritten")


def _detach(tree: Path) -> None:
    git(tree, "checkout", "--quiet", "--detach")
    git(tree, "commit", "--quiet", "--allow-empty", "-m", "loose")


def _conflict(tree: Path) -> None:
    git(tree, "checkout", "--quiet", "-b", "side", "HEAD~1")
    (tree / "second").write_text("mine")
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "side")
    git(tree, "merge", "--quiet", "-s", "ours", "--no-commit", "@{-1}")


def _lock(tree: Path) -> None:
    (tree / ".git/index.lock").touch()


def _nameless(tree: Path) -> None:
    git(tree, "config", "--unset", "user.name")
    git(tree, "config", "user.useConfigOnly", "true")
    git(tree, "config", "commit.gpgSign", "true")
    git(tree, "config", "gpg.program", "false")
    git(tree, "config", "core.hooksPath", "hooks")
    (tree / "hooks").mkdir()
    (tree / "hooks/reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    (tree / "hooks/reference-transaction").chmod(0o755)


@pytest.mark.parametrize("did", [_rewind, _orphan, _rewrite, _detach, _conflict, _lock, _nameless])
def test_what_the_agent_did_to_history_does_not_matter(
    host: Host, upstream: Upstream, did: Callable[[Path], None]
) -> None:
    upstream.commit(second="2\n")
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    did(workspace.worktree)
    (workspace.worktree / "left").write_text("here")
    arrived = files_received(host, base, bundle_of_change(workspace, base))
    assert arrived["left"] == "here"
    assert ("second" in arrived) == (did is not _rewind)


def test_nothing_changed(workspace: Workspace, base: Base) -> None:
    git(workspace.worktree, "commit", "--quiet", "--allow-empty", "-m", "busy")
    ended = capture(workspace, base)
    assert isinstance(explain(ended.exit_code, ended.stderr), ChangeEmpty)


@pytest.mark.parametrize("lost", [".", ".git"])
def test_a_deleted_workspace_is_lost(workspace: Workspace, base: Base, lost: str) -> None:
    """Even inside another repository, which git would find by walking up."""
    git(workspace.root, "init", "--quiet")
    path = workspace.worktree / lost
    path.unlink() if path.is_file() else shutil.rmtree(path)
    ended = capture(workspace, base)
    assert isinstance(explain(ended.exit_code, ended.stderr), WorkspaceLost)


def test_a_full_disk_while_capturing(
    make_host: Callable[..., Host], upstream: Upstream, small_disk: Path
) -> None:
    host = make_host(ORCHESTRATOR_WORKSPACES=str(small_disk))
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    (workspace.worktree / "half").write_bytes(os.urandom(host.workspaces.free_bytes() * 3 // 4))
    ended = capture(workspace, base)
    assert isinstance(explain(ended.exit_code, ended.stderr), DiskFull)


def test_what_else_git_says_is_passed_on() -> None:
    error = explain(1, b'error: open("x"): Permission denied\n\x1b[0m')
    assert type(error) is GitFailed
    assert 'open("x"): Permission denied' in str(error)


def test_a_change_at_the_limit_passes_and_one_byte_more_does_not(workspace: Workspace) -> None:
    (workspace.tmp / "change.bundle").write_bytes(b"x" * 100)
    assert len(read_bundle(workspace, 100)) == 100
    with pytest.raises(ChangeTooLarge):
        read_bundle(workspace, 99)


def _no_file(workspace: Workspace, outside: Path) -> None:
    pass


def _link(workspace: Workspace, outside: Path) -> None:
    (workspace.tmp / "change.bundle").symlink_to(outside / "change.bundle")


def _linked_folder(workspace: Workspace, outside: Path) -> None:
    workspace.tmp.rmdir()
    workspace.tmp.symlink_to(outside)


def _linked_root(workspace: Workspace, outside: Path) -> None:
    shutil.rmtree(workspace.root)
    (outside / "tmp").mkdir()
    (outside / "change.bundle").rename(outside / "tmp/change.bundle")
    workspace.root.symlink_to(outside)


def _pipe(workspace: Workspace, outside: Path) -> None:
    os.mkfifo(workspace.tmp / "change.bundle")


def _folder(workspace: Workspace, outside: Path) -> None:
    (workspace.tmp / "change.bundle").mkdir()


@pytest.mark.parametrize("trick", [_no_file, _link, _linked_folder, _linked_root, _pipe, _folder])
def test_only_a_regular_file_of_the_workspace_is_read(
    workspace: Workspace, tmp_path: Path, trick: Callable[[Workspace, Path], None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "change.bundle").write_text("private")
    trick(workspace, outside)
    with pytest.raises(WorkspaceLost):
        read_bundle(workspace, LIMIT)


def test_the_capture_replaces_what_stood_in_its_bundle_s_place(
    workspace: Workspace, base: Base, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    (workspace.tmp / "change.bundle").symlink_to(victim)
    (workspace.tmp / "change.bundle.lock").touch()
    (workspace.worktree / "new").touch()
    assert bundle_of_change(workspace, base).startswith(b"# v2 git bundle\n")
    assert victim.read_text() == "whole"


def test_a_git_that_a_signal_ends_is_tried_again_and_stands_for_nothing(
    workspace: Workspace, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel ends it out of memory, or the container of the worker is stopped."""
    (workspace.worktree / "README.md").write_text("other\n")
    git(workspace.worktree, "switch", "--quiet", "-c", "beside")
    git(workspace.worktree, "commit", "--quiet", "--allow-empty", "-m", "beside")
    double = tmp_path / "bin" / "git"
    double.parent.mkdir()
    asked, real = tmp_path / "asked", shutil.which("git")
    double.write_text(
        f'#!/bin/sh\necho "$1" >> {asked}\n[ "$1" != "$KILLED" ] || kill -9 $$\nexec {real} "$@"\n'
    )
    double.chmod(0o755)
    monkeypatch.setenv("PATH", f"{double.parent}:{os.environ['PATH']}")
    assert capture(workspace, base).exit_code == 0
    commands = sorted(set(asked.read_text().split()))
    assert {"bundle", "pack-objects"} <= {*commands}
    for command in commands:
        ended = capture(workspace, base, ("env", f"KILLED={command}"))
        error = explain(ended.exit_code, ended.stderr)
        assert isinstance(error, GitKilled), (command, error)
        assert error.retryable
    assert isinstance(explain(-9, b""), GitKilled)
