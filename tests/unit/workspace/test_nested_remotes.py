"""What an agent pushed to a remote that ends with its workspace is published nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.workspace.inside.repositories import passing_remotes
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
    ("url", "is_passing"),
    [
        ("https://example.org/x.git", False), ("ssh://h/x", False), ("git@host:x.git", False),
        ("host:x", False), ("/dev/null", False), ("/nonexistent/x", True), ("../x", True),
        ("file:///nonexistent/x", True), ("{root}/x", True), ("file://{root}/x", True),
    ],
)  # fmt: skip
def test_the_address_decides(tmp_path: Path, url: str, *, is_passing: bool) -> None:
    git(tmp_path, "init", "--quiet", "nest")
    git(tmp_path / "nest", "remote", "add", "it", url.format(root=tmp_path))
    found = passing_remotes(bytes(tmp_path / "nest/.git"), bytes(tmp_path))
    assert found == ([b"it"] if is_passing else [])
