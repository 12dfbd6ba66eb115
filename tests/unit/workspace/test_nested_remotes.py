"""What an agent pushed to a remote that ends with its workspace is published nowhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.workspace.inside.remotes import lasting_remotes
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import take
from .conftest import Host, git


def _pushed(tree: Path, remote: Path) -> None:
    """Commit in a nested clone, and push all of it to this remote."""
    git(tree, "init", "--quiet", "--bare", str(remote))
    git(tree, "init", "--quiet", "nest")
    nest = tree / "nest"
    (nest / "work").write_text("work")
    git(nest, "add", "-A")
    git(nest, "commit", "--quiet", "-m", "the work")
    git(nest, "remote", "add", "origin", str(remote))
    git(nest, "push", "--quiet", "origin", "HEAD:main")


@pytest.mark.parametrize("place", ["tmp", "home", "worktree"])
def test_commits_pushed_within_the_workspace_are_kept(
    host: Host, base: Base, workspace: Workspace, place: str
) -> None:
    _pushed(workspace.worktree, getattr(workspace, place) / "remote.git")
    taken = take(host, base, workspace)
    (name,) = (name for name in taken.beside if name.startswith("nested/nest"))
    assert taken.content("work", name) == b"work"


def test_commits_pushed_to_a_remote_that_lasts_are_not_kept(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    _pushed(workspace.worktree, tmp_path / "lasting.git")
    (workspace.worktree / "other").touch()
    assert not take(host, base, workspace).beside


@pytest.mark.parametrize(
    ("url", "lasts"),
    [
        ("https://example.org/x.git", True), ("ssh://h/x", True), ("git@host:x.git", True),
        ("host:x", True), ("/dev/null", True), ("/nonexistent/x", False), ("../x", False),
        ("file:///nonexistent/x", False), ("{root}/x", False), ("file://{root}/x", False),
        ("http://localhost:3000/x.git", False), ("https://me@127.0.0.1/x.git", False),
        ("git://[::1]:9418/x", False), ("ext::sh -c cat", False), ("localhost:x", False),
        ("https://localhost.example.org/x", True), ("git+ssh://h/x", True),
    ],
)  # fmt: skip
def test_the_address_decides(tmp_path: Path, url: str, *, lasts: bool) -> None:
    git(tmp_path, "init", "--quiet", "nest")
    git(tmp_path / "nest", "remote", "add", "it", url.format(root=tmp_path))
    found = lasting_remotes(bytes(tmp_path / "nest/.git"), bytes(tmp_path))
    assert found == ({b"it"} if lasts else set())


@pytest.mark.parametrize(
    "setting",
    [
        ("remote.it.pushurl", "{root}/x"),
        ("url.{root}/.insteadOf", "https://example.org/"),
        ("url.{root}/.pushInsteadOf", "https://example.org/"),
    ],
)
def test_each_address_of_a_remote_counts(tmp_path: Path, setting: tuple[str, str]) -> None:
    git(tmp_path, "init", "--quiet", "nest")
    nest = tmp_path / "nest"
    git(nest, "remote", "add", "it", "https://example.org/x.git")
    git(nest, "config", *(one.format(root=tmp_path) for one in setting))
    assert lasting_remotes(bytes(nest / ".git"), bytes(tmp_path)) == set()


def test_a_rewritten_address_in_the_home_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", "nest")
    git(tmp_path / "nest", "remote", "add", "it", "https://example.org/x.git")
    (tmp_path / ".gitconfig").write_text(f'[url "{tmp_path}/"] insteadOf = https://example.org/\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lasting_remotes(bytes(tmp_path / "nest/.git"), bytes(tmp_path)) == set()


def _fetched(nest: Path, ref: str) -> None:
    """Give a nested repository a commit that only this ref leads to, in a pack of its own."""
    git(nest.parent, "init", "--quiet", "scratch")
    scratch = nest.parent / "scratch"
    (scratch / "work").write_text("work")
    git(scratch, "add", "-A")
    git(scratch, "commit", "--quiet", "-m", "the work")
    git(nest.parent, "init", "--quiet", "nest")
    git(nest, "fetch", "--quiet", str(scratch), f"HEAD:{ref}")
    shutil.rmtree(scratch)
    (nest / ".git/FETCH_HEAD").unlink()


@pytest.mark.parametrize("remote", ["", "gone", "other", "o"])
def test_a_ref_of_a_remote_that_is_not_configured_is_not_published(
    host: Host, base: Base, workspace: Workspace, remote: str
) -> None:
    nest = workspace.worktree / "nest"
    _fetched(nest, "refs/remotes/other-one/main")
    if remote:
        git(nest, "remote", "add", remote, "https://example.org/x.git")
    taken = take(host, base, workspace)
    assert taken.content("work", "nested/nest/refs/remotes/other-one/main") == b"work"


def test_a_ref_of_a_configured_remote_is_published(
    host: Host, base: Base, workspace: Workspace
) -> None:
    nest = workspace.worktree / "nest"
    _fetched(nest, "refs/remotes/team/x/main")
    git(nest, "config", "remote.team/x.url", "https://example.org/x.git")
    (workspace.worktree / "other").touch()
    assert not take(host, base, workspace).beside
