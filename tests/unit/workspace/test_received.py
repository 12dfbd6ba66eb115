"""A bundle is received whole or refused, checked out clean, and continued."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from orchestrator.errors import (
    ChangeEmpty,
    ChangeRefused,
    GitFailed,
)
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.unit.workspace.bundles import bundle_of_change, bundle_of_head, files_received
from tests.unit.workspace.conftest import Host, Upstream, git

INSTANT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_bundle_cut_short_or_of_something_else_is_refused(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "new").write_bytes(os.urandom(1000))
    bundle = bundle_of_change(workspace, base)
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
    bundle = bundle_of_head(workspace, kept_back)
    with (
        pytest.raises(ChangeRefused, match=r"did not receive expected object|unresolved delta"),
        host.candidates.received(base, bundle, "a1", 1),
    ):
        pass


def test_a_base_the_mirror_lacks_is_not_the_agent_s_fault(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "new").touch()
    bundle = bundle_of_change(workspace, base)
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
    bundle = bundle_of_head(workspace, base.commit)
    with pytest.raises(ChangeEmpty), host.candidates.received(base, bundle, "a1", 1):
        pass


def test_receiving_again_replaces_a_stale_candidate(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "new").touch()
    bundle = bundle_of_change(workspace, base)
    (host.settings.home / "candidates" / "a1.1.git" / "objects").mkdir(parents=True)
    for _ in range(2):
        with host.candidates.received(base, bundle, "a1", 1) as candidate:
            assert candidate.git_dir.exists()
    assert not candidate.git_dir.exists()


def test_a_checkout_is_clean_apart_and_gone_afterwards(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "new").write_text("x")
    with host.candidates.received(base, bundle_of_change(workspace, base), "a1", 1) as candidate:
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
    bundle = bundle_of_change(workspace, base)
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


def test_the_next_round_goes_on_from_what_was_left_and_its_bundle_holds_both(
    make_host: Callable[..., Host], upstream: Upstream, base: Base, workspace: Workspace
) -> None:
    """On another host whose spare is of the base, and after the branch has moved on."""
    (workspace.worktree / "first").write_text("1")
    (workspace.worktree / "README.md").unlink()
    bundle = bundle_of_change(workspace, base)
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
    assert files_received(other, there, bundle_of_change(again, there)) == {
        ".gitignore": "build/",
        "first": "1",
        "second": "2",
    }
