"""Git as tools expect it in a checkout: tags, `origin` without a way to push, folders, names."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from orchestrator.workspace.bundle import read_heads
from orchestrator.workspace.change import read_bundle
from orchestrator.workspace.checkout_refs import shown_address
from orchestrator.workspace.mirror import Base

from .conftest import Host, Upstream, capture, git

NAMES = ["fix/#123", "größe", "release=1.2", "a'b", 'a"b', "x;y", "x$(y)", "(a)", "%41", "ü/é", "&"]


def _tagged(upstream: Upstream) -> str:
    """Tag the tip, add a commit, and tag a commit of another branch; returns the tip."""
    git(upstream.clone, "tag", "-a", "v1.2", "-m", "one")
    git(upstream.clone, "tag", "light")
    git(upstream.clone, "checkout", "--quiet", "-b", "side")
    upstream.commit("side", side="x")
    git(upstream.clone, "tag", "-a", "v9", "-m", "nine")
    git(upstream.clone, "checkout", "--quiet", "main")
    tip = upstream.commit("main", more="x")
    git(upstream.clone, "push", "--quiet", "--tags", "origin")
    return tip


def test_an_agents_checkout_has_the_tags_of_its_history_and_the_branch_it_began_from(
    host: Host, upstream: Upstream
) -> None:
    tip = _tagged(upstream)
    tree = host.workspaces.create(host.mirrors.refresh(upstream.url, "main"), "a1").worktree
    assert git(tree, "describe", "--tags").startswith("v1.2-1-g")
    assert git(tree, "tag").split() == ["light", "v1.2"]
    assert git(tree, "rev-parse", "origin/main", "origin/HEAD").split() == [tip, tip]
    assert git(tree, "merge-base", "origin/main", "HEAD") == tip
    assert git(tree, "fsck", "--no-dangling") == ""
    for folder in ("info", "hooks"):
        assert (tree / ".git" / folder).is_dir()


def _changed(host: Host, base: Base) -> bytes:
    """Return the bundle of an agent that adds a file."""
    workspace = host.workspaces.create(base, "a1")
    (workspace.worktree / "new").write_text("x")
    ended = capture(workspace, base)
    assert ended.exit_code == 0, ended.stderr
    return read_bundle(workspace, 2**20)


def test_a_gates_checkout_has_them_too_also_after_a_rebase(host: Host, upstream: Upstream) -> None:
    first = _tagged(upstream)
    base = host.mirrors.refresh(upstream.url, "main")
    bundle = _changed(host, base)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        with host.candidates.checked_out(candidate, "tests") as tree:
            assert git(tree, "describe", "--tags").startswith("v1.2-2-g")
            assert git(tree, "rev-parse", "origin/main") == first
            assert git(tree, "diff", "--name-only", "origin/main...HEAD") == "new"
            assert (tree / ".git" / "hooks").is_dir()
        upstream.commit("main", later="x")
        target = host.mirrors.refresh(upstream.url, "main")
        preview = host.candidates.merged(candidate, base, target)
        assert preview.tree
        moved = host.candidates.moved(candidate, preview.tree, target)
        with host.candidates.checked_out(moved, "tests") as tree:
            assert git(tree, "diff", "--name-only", "origin/main...HEAD") == "new"


def test_a_push_of_an_agent_reaches_nothing(host: Host, upstream: Upstream) -> None:
    tree = host.workspaces.create(host.mirrors.refresh(upstream.url, "main"), "a1").worktree
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(tree, "push", "origin", "HEAD:refs/heads/evil")
    assert "the-orchestrator-pushes-an-approved-change" in refused.value.stderr
    assert "evil" not in git(upstream.path, "branch")
    assert str(upstream.path.parent) not in (tree / ".git" / "config").read_text()


@pytest.mark.parametrize(
    ("repository", "shown"),
    [
        ("https://example.org/a/b.git", "https://example.org/a/b.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("/srv/git/b.git", "/dev/null/b.git"),
        ("file:///srv/git/b.git/", "/dev/null/b.git"),
    ],
)
def test_the_address_is_that_of_the_repository_but_for_one_on_this_disk(
    repository: str, shown: str
) -> None:
    assert shown_address(repository) == shown


def test_a_tag_of_another_branch_of_the_mirror_is_not_in_the_checkout(
    host: Host, upstream: Upstream
) -> None:
    _tagged(upstream)
    side = host.mirrors.refresh(upstream.url, "side")
    main = host.mirrors.refresh(upstream.url, "main")
    assert "v9" in git(host.workspaces.create(side, "a1").worktree, "tag").split()
    assert "v9" not in git(host.workspaces.create(main, "a2").worktree, "tag").split()


def test_a_moved_tag_moves_and_a_removed_one_goes(host: Host, upstream: Upstream) -> None:
    _tagged(upstream)
    host.mirrors.refresh(upstream.url, "main")
    git(upstream.clone, "tag", "-f", "-a", "v1.2", "-m", "again", "main")
    git(upstream.clone, "push", "--quiet", "--force", "origin", "v1.2", ":light")
    base = host.mirrors.refresh(upstream.url, "main")
    tree = host.workspaces.create(base, "a1").worktree
    assert git(tree, "describe", "--tags") == "v1.2"
    assert git(tree, "tag").split() == ["v1.2"]


def test_a_tag_in_the_way_of_a_newer_one_is_no_obstacle(host: Host, upstream: Upstream) -> None:
    git(upstream.clone, "tag", "a")
    git(upstream.clone, "push", "--quiet", "origin", "a")
    host.mirrors.refresh(upstream.url, "main")
    git(upstream.clone, "push", "--quiet", "origin", ":a")
    git(upstream.clone, "tag", "-d", "a")
    git(upstream.clone, "tag", "-a", "a/b", "-m", "deeper")
    git(upstream.clone, "push", "--quiet", "origin", "a/b")
    base = host.mirrors.refresh(upstream.url, "main")
    assert git(host.workspaces.create(base, "a1").worktree, "tag") == "a/b"


def test_a_spare_is_used_by_two_branches_of_one_commit(host: Host, upstream: Upstream) -> None:
    git(upstream.clone, "push", "--quiet", "origin", "main:refs/heads/other")
    host.workspaces.prepare_spare(host.mirrors.refresh(upstream.url, "main"))
    other = host.mirrors.refresh(upstream.url, "other")
    tree = host.workspaces.create(other, "a1").worktree
    assert git(tree, "for-each-ref", "--format=%(refname)", "refs/remotes/origin/other")
    assert not git(tree, "for-each-ref", "refs/remotes/origin/main")


def test_none_of_it_is_there_if_the_operator_says_so(
    make_host: Callable[..., Host], upstream: Upstream
) -> None:
    _tagged(upstream)
    host = make_host(ORCHESTRATOR_CHECKOUT_REFS="none")
    tree = host.workspaces.create(host.mirrors.refresh(upstream.url, "main"), "a1").worktree
    assert not git(tree, "tag")
    assert not git(tree, "remote")


@pytest.mark.parametrize("branch", NAMES)
def test_a_branch_of_any_name_is_a_base(host: Host, upstream: Upstream, branch: str) -> None:
    git(upstream.path, "check-ref-format", "--branch", branch)
    git(upstream.path, "update-ref", f"refs/heads/{branch}", "main")
    base = host.mirrors.refresh(upstream.url, branch)
    tree = host.workspaces.create(base, "a1").worktree
    assert (
        git(tree, "rev-parse", f"refs/remotes/origin/{branch}", "origin/HEAD").split()
        == [base.commit] * 2
    )


def test_the_change_of_an_agent_contains_no_tag(host: Host, upstream: Upstream) -> None:
    _tagged(upstream)
    heads = read_heads(_changed(host, host.mirrors.refresh(upstream.url, "main")))
    assert heads.beside == ()
