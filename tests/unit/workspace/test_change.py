"""A change: whatever the agent did to its repository, its tree arrives whole, or it fails typed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.errors import (
    ChangeEmpty,
    ChangeRefused,
    ChangeTooLarge,
    DiskFull,
    GitFailed,
    WorkspaceLost,
)
from orchestrator.workspace.change import explain, read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .conftest import Host, Upstream, capture, git

LIMIT = 2**20
INSTANT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _bundle(workspace: Workspace, base: Base) -> bytes:
    ended = capture(workspace, base)
    assert ended.exit_code == 0, ended.stderr
    return read_bundle(workspace, LIMIT)


def _bundle_of_head(workspace: Workspace, since: str) -> bytes:
    """Return a bundle that no capture of ours makes."""
    git(workspace.worktree, "update-ref", "refs/orchestrator/change", "HEAD")
    made = ("bundle", "create", "--quiet", "../made", "refs/orchestrator/change", f"^{since}")
    git(workspace.worktree, *made)
    return (workspace.root / "made").read_bytes()


def _arrived(host: Host, base: Base, bundle: bytes) -> dict[str, str]:
    """Return the files of the change as another process finds them."""
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        listing = git(candidate.git_dir, "ls-tree", "-r", "--name-only", candidate.tree)
        return {
            path: git(candidate.git_dir, "cat-file", "blob", f"{candidate.tree}:{path}")
            for path in listing.splitlines()
        }


# ── capture ─────────────────────────────────────────────────────────────────────────────────


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
    arrived = _arrived(host, base, _bundle(workspace, base))
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
    arrived = _arrived(host, base, _bundle(workspace, base))
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


# ── the bundle as a file ────────────────────────────────────────────────────────────────────


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
    assert _bundle(workspace, base).startswith(b"# v2 git bundle\n")
    assert victim.read_text() == "whole"


# ── receiving ───────────────────────────────────────────────────────────────────────────────


def test_a_bundle_cut_short_or_of_something_else_is_refused(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "new").write_bytes(os.urandom(1000))
    bundle = _bundle(workspace, base)
    for broken in (b"", b"garbage", bundle[:-100], bundle[: bundle.index(b"PACK")]):
        with pytest.raises(ChangeRefused), host.candidates.received(base, broken, "a1", 1):
            pass


def test_a_bundle_on_commits_nobody_has_is_refused(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    (tree / "hidden").write_text("x")
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "kept back")
    kept_back = git(tree, "rev-parse", "HEAD")
    (tree / "new").write_text("y")
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "what leaves")
    bundle = _bundle_of_head(workspace, kept_back)
    with (
        pytest.raises(ChangeRefused, match=r"did not receive expected object|unresolved delta"),
        host.candidates.received(base, bundle, "a1", 1),
    ):
        pass


def test_a_base_the_mirror_lacks_is_not_the_agent_s_fault(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "new").touch()
    bundle = _bundle(workspace, base)
    with (
        pytest.raises(GitFailed) as caught,
        host.candidates.received(Base(base.mirror, "1" * 40), bundle, "a1", 1),
    ):
        pass
    assert type(caught.value) is GitFailed


def test_a_change_that_comes_to_nothing_is_empty(
    host: Host, base: Base, workspace: Workspace
) -> None:
    """Captured against another base, the tree of this one: judged again where it arrives."""
    tree = workspace.worktree
    (tree / "new").touch()
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "other base")
    git(tree, "rm", "--quiet", "new")
    git(tree, "commit", "--quiet", "-m", "back again")
    bundle = _bundle_of_head(workspace, base.commit)
    with pytest.raises(ChangeEmpty), host.candidates.received(base, bundle, "a1", 1):
        pass


def test_receiving_again_replaces_a_stale_candidate(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "new").touch()
    bundle = _bundle(workspace, base)
    (host.settings.home / "candidates" / "a1.1.git" / "objects").mkdir(parents=True)
    for _ in range(2):
        with host.candidates.received(base, bundle, "a1", 1) as candidate:
            assert candidate.git_dir.exists()
    assert not candidate.git_dir.exists()


# ── judging and committing ──────────────────────────────────────────────────────────────────


def test_a_checkout_is_clean_apart_and_gone_afterwards(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "new").write_text("x")
    with host.candidates.received(base, _bundle(workspace, base), "a1", 1) as candidate:
        with host.candidates.checked_out(candidate, "tests") as checkout:
            assert (checkout / "new").read_text() == "x"
            assert not git(checkout, "status", "--porcelain")
            assert git(checkout, "rev-parse", "HEAD") == candidate.commit
            assert list(checkout.parent.iterdir()) == [checkout]
            (checkout / "locked").mkdir(mode=0)
        assert not checkout.parent.exists()


def test_from_one_host_to_another_to_the_remote(
    make_host: Callable[..., Host], upstream: Upstream, base: Base, workspace: Workspace
) -> None:
    """Only the mirror and the bundle are needed; the one commit has the judged tree on the base."""
    git(workspace.worktree, "commit", "--quiet", "--allow-empty", "-m", "not for others")
    (workspace.worktree / "new").write_text("x")
    bundle = _bundle(workspace, base)
    commits = set()
    for name in ("second", "third"):
        other = make_host(name)
        there = other.mirrors.refresh(upstream.url, "main")
        with other.candidates.received(there, bundle, "a1", 1) as candidate:
            commit = other.candidates.commit(
                candidate, there, message="Subject\n\nAgent-Id: a1\n", instant=INSTANT
            )
            pushed = other.remote.push(candidate.git_dir, upstream.url, commit, "a1")
        commits.add(pushed.commit)
    assert commits == {commit}, "the same inputs must give the same commit"
    format_ = "%H %P %T %s %at %(trailers:key=Agent-Id,valueonly)"
    log = git(upstream.path, "log", f"--format={format_}", f"{base.commit}..agent/a1")
    assert log.split() == [
        *(commit, base.commit, candidate.tree, "Subject", str(int(INSTANT.timestamp())), "a1")
    ]
    assert git(upstream.path, "cat-file", "blob", "agent/a1:new") == "x"
    git(upstream.path, "fsck", "--strict")


# ── the next round ──────────────────────────────────────────────────────────────────────────


def test_the_next_round_goes_on_from_what_was_left_and_its_bundle_holds_both(
    make_host: Callable[..., Host], upstream: Upstream, base: Base, workspace: Workspace
) -> None:
    """On another host whose spare is of the base, and after the branch has moved on."""
    (workspace.worktree / "first").write_text("1")
    (workspace.worktree / "README.md").unlink()
    bundle = _bundle(workspace, base)
    other = make_host("other")
    there = other.mirrors.refresh(upstream.url, "main")
    other.workspaces.prepare_spare(there)
    upstream.commit(moved="on")
    other.mirrors.refresh(upstream.url, "main")
    again = other.workspaces.create(there, "a1", change=bundle)
    tree = again.worktree
    assert {path.name for path in tree.iterdir()} == {".git", ".gitignore", "first"}
    assert not git(tree, "status", "--porcelain", "--ignored")
    assert git(tree, "symbolic-ref", "HEAD") == "refs/heads/agent/a1"
    assert git(tree, "log", "--format=%s", f"{base.commit}..HEAD") == "What the agent left"
    (tree / "second").write_text("2")
    assert _arrived(other, there, _bundle(again, there)) == {
        ".gitignore": "build/",
        "first": "1",
        "second": "2",
    }
