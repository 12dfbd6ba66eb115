"""No name of a retained commit is a folder of another, so that git can fetch all of them."""

from __future__ import annotations

from pathlib import Path

from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import Taken, take
from .conftest import Host, git


def _commit(tree: Path, name: str) -> None:
    (tree / name).write_text(name)
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", name)


def _fetched(taken: Taken, tree: Path, scratch: Path) -> set[str]:
    """Fetch the bundle as the help of `orch export` says, and return the commits."""
    bundle, clone = scratch / "bundle", scratch / "clone"
    bundle.write_bytes(taken.bundle)
    git(scratch, "clone", "--quiet", "--bare", str(tree), str(clone))
    git(clone, "fetch", "--quiet", str(bundle), "refs/orchestrator/*:refs/retained/*")
    return set(git(clone, "for-each-ref", "--format=%(objectname)", "refs/retained").split())


def test_commits_and_files_of_one_worktree_can_be_fetched_together(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    tree = workspace.worktree
    git(tree, "worktree", "add", "--quiet", "--detach", "sub")
    _commit(tree / "sub", "one")
    (tree / "sub/two").write_text("two")
    taken = take(host, base, workspace)
    assert set(taken.beside) == {"worktrees/sub/uncommitted", "worktrees/sub~2"}
    assert {one.commit for one in taken.beside.values()} <= _fetched(taken, tree, tmp_path)


def test_files_of_a_repository_in_a_nested_one_can_be_fetched(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    tree = workspace.worktree
    for folder in ("nest", "nest/inner"):
        git(tree, "init", "--quiet", folder)
        (tree / folder / "file").write_text(folder)
    taken = take(host, base, workspace)
    assert set(taken.beside) == {"nested/nest", "nested/nest~inner"}
    assert taken.content("file", "nested/nest~inner") == b"nest/inner"
    assert {one.commit for one in taken.beside.values()} <= _fetched(taken, tree, tmp_path)
