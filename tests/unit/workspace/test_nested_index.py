"""Content that only an index of a nested repository or a linked worktree has is retained."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import Taken, take
from .conftest import Host, git

STAGED = "only staged\n"


def _stage(tree: Path, text: str = STAGED) -> None:
    """Stage a file, and remove it from the worktree."""
    (tree / "staged").write_text(text)
    git(tree, "add", "staged")
    (tree / "staged").unlink()
    (tree / "other").write_text("other\n")


def _fresh(workspace: Workspace, folder: str = "nest") -> Path:
    nest = workspace.worktree / folder
    git(workspace.worktree, "init", "--quiet", folder)
    return nest


def _committed(workspace: Workspace) -> Path:
    nest = _fresh(workspace)
    (nest / "first").write_text("first\n")
    git(nest, "add", "first")
    git(nest, "commit", "--quiet", "-m", "first")
    return nest


def _clone(workspace: Workspace) -> Path:
    git(workspace.worktree, "clone", "--quiet", ".", "dir/clone")
    return workspace.worktree / "dir/clone"


def _clone_in_home(workspace: Workspace) -> Path:
    git(workspace.worktree, "clone", "--quiet", ".", str(workspace.home / "clone"))
    return workspace.home / "clone"


def _linked(workspace: Workspace) -> Path:
    git(workspace.worktree, "worktree", "add", "--quiet", "--detach", str(workspace.tmp / "wt"))
    return workspace.tmp / "wt"


def _linked_of_nested(workspace: Workspace) -> Path:
    nest = _committed(workspace)
    git(nest, "worktree", "add", "--quiet", "--detach", str(workspace.tmp / "wt"))
    return workspace.tmp / "wt"


def _nested_in_nested(workspace: Workspace) -> Path:
    _committed(workspace)
    return _fresh(workspace, "nest/inner")


def _nested_in_clone_in_home(workspace: Workspace) -> Path:
    clone = _clone_in_home(workspace)
    git(clone, "init", "--quiet", "inner")
    return clone / "inner"


def _split(workspace: Workspace) -> Path:
    nest = _committed(workspace)
    git(nest, "update-index", "--split-index")
    return nest


def _git_file(workspace: Workspace) -> Path:
    nest = workspace.worktree / "nest"
    git(
        workspace.worktree,
        *("init", "--quiet", "--separate-git-dir", str(workspace.home / "apart"), str(nest)),
    )
    return nest


PLACES = (
    *(_fresh, _committed, _clone, _clone_in_home, _linked, _linked_of_nested),
    *(_nested_in_nested, _nested_in_clone_in_home, _split, _git_file),
)


def _content(taken: Taken, path: str) -> set[bytes]:
    """Return the contents of a path in all commits beside the change."""
    found = set()
    for name in taken.beside:
        try:
            found.add(taken.content(path, name))
        except Exception:  # noqa: BLE001 - this one does not have it
            continue
    return found


@pytest.mark.parametrize("place", PLACES)
def test_what_is_only_staged_is_retained(
    host: Host, base: Base, workspace: Workspace, place: Callable[[Workspace], Path]
) -> None:
    _stage(place(workspace))
    taken = take(host, base, workspace)
    assert STAGED.encode() in _content(taken, "staged"), taken.report


@pytest.mark.parametrize("place", [_fresh, _clone, _linked])
def test_what_was_staged_and_then_changed_is_retained_in_both_versions(
    host: Host, base: Base, workspace: Workspace, place: Callable[[Workspace], Path]
) -> None:
    tree = place(workspace)
    _stage(tree)
    (tree / "staged").write_text("later\n")
    found = _content(take(host, base, workspace), "staged")
    assert {STAGED.encode(), b"later\n"} <= found


def test_each_side_of_a_conflict_in_a_nested_repository_is_retained(
    host: Host, base: Base, workspace: Workspace
) -> None:
    nest = _committed(workspace)
    sides = {}
    for stage, text in enumerate(("base\n", "ours\n", "theirs\n"), start=1):
        sides[git(nest, "hash-object", "-w", "--stdin", stdin=text)] = (stage, text)
    entries = "".join(f"100644 {blob} {stage}\tboth\n" for blob, (stage, _) in sides.items())
    git(nest, "update-index", "--index-info", stdin=entries)
    taken = take(host, base, workspace)
    for blob, (_, text) in sides.items():
        assert _content(taken, f"both.unmerged-{blob[:8]}") == {text.encode()}


def test_a_stash_in_a_nested_repository_is_retained_with_its_index(
    host: Host, base: Base, workspace: Workspace
) -> None:
    nest = _committed(workspace)
    (nest / "staged").write_text(STAGED)
    git(nest, "add", "staged")
    (nest / "staged").write_text("later\n")
    git(nest, "stash", "--quiet", "--include-untracked")
    taken = take(host, base, workspace)
    (name,) = (one.name for one in taken.beside.values() if one.kind == "stash")
    assert taken.content("staged", name) == b"later\n"
    with host.candidates.received_whole(base, taken.bundle, "look", 1) as (git_dir, _):
        of_index = f"{taken.beside[name].commit}^2:staged"
        assert git(git_dir, "cat-file", "blob", of_index) == STAGED.strip()


def test_the_index_of_a_killed_command_is_retained(
    host: Host, base: Base, workspace: Workspace
) -> None:
    nest = _committed(workspace)
    _stage(nest)
    index = nest / ".git/index"
    index.rename(nest / ".git/index.lock")
    git(workspace.worktree, "read-tree", "HEAD")
    _stage(workspace.worktree, "another\n")
    own = workspace.worktree / ".git/index"
    shutil.copy(own, own.with_name("next-index-1.lock"))
    git(workspace.worktree, "read-tree", "HEAD")
    taken = take(host, base, workspace)
    assert {"index~next-index-1.lock", "nested/nest/index~index.lock"} <= taken.beside.keys()


def test_a_submodule_without_a_folder_keeps_what_was_staged_in_it(
    host: Host, base: Base, workspace: Workspace
) -> None:
    source = workspace.home / "source"
    git(workspace.home, "init", "--quiet", "source")
    (source / "first").write_text("first\n")
    git(source, "add", "-A")
    git(source, "commit", "--quiet", "-m", "first")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source), "sub")
    git(workspace.worktree, *add)
    _stage(workspace.worktree / "sub")
    shutil.rmtree(workspace.worktree / "sub")
    taken = take(host, base, workspace)
    assert taken.content("staged", "modules/sub/index") == STAGED.encode()


@pytest.mark.parametrize("place", [_committed, _linked])
def test_an_index_that_cannot_be_read_is_named(
    host: Host, base: Base, workspace: Workspace, place: Callable[[Workspace], Path]
) -> None:
    tree = place(workspace)
    _stage(tree)
    index = Path(git(tree, "rev-parse", "--absolute-git-dir")) / "index"
    index.write_bytes(os.urandom(40))
    named = take(host, base, workspace).left_out()
    shown = os.path.relpath(index, workspace.worktree)
    assert named["index that cannot be read: what was only staged"] == (shown,)


def test_a_staged_file_that_the_worktree_has_adds_nothing(
    host: Host, base: Base, workspace: Workspace
) -> None:
    nest = _committed(workspace)
    _stage(nest)
    (nest / "staged").write_text(STAGED)
    assert not [name for name in take(host, base, workspace).beside if "index" in name]


def test_a_shallow_clone_keeps_its_files_though_its_history_cannot_be_read(
    host: Host, base: Base, workspace: Workspace
) -> None:
    source = workspace.home / "source"
    git(workspace.home, "init", "--quiet", "source")
    for text in ("first", "second"):
        (source / "work").write_text(text)
        git(source, "add", "-A")
        git(source, "commit", "--quiet", "-m", text)
    git(workspace.worktree, "clone", "--quiet", "--depth=1", f"file://{source}", "nest")
    nest = workspace.worktree / "nest"
    git(nest, "remote", "remove", "origin")
    (nest / "own").write_text("own")
    git(nest, "add", "-A")
    git(nest, "commit", "--quiet", "-m", "own")
    shutil.rmtree(source)
    taken = take(host, base, workspace)
    assert taken.content("own", "nested/nest/refs/heads/master") == b"own"
    assert "damaged history" in taken.left_out()


def test_a_folder_with_a_newline_in_its_name_keeps_what_was_staged(
    host: Host, base: Base, workspace: Workspace
) -> None:
    _stage(_fresh(workspace, "new\nline"))
    assert STAGED.encode() in _content(take(host, base, workspace), "staged")


def test_a_repository_outside_that_is_no_clone_is_named(
    host: Host, base: Base, workspace: Workspace
) -> None:
    git(workspace.home, "init", "--quiet", "--bare", "dots.git")
    (workspace.worktree / "other").touch()
    named = take(host, base, workspace).left_out()
    assert named == {
        "repository outside the worktree that is no clone of this one": ("home/dots.git",)
    }


def test_a_repository_whose_refs_cannot_be_read_keeps_its_commits_and_its_index(
    host: Host, base: Base, workspace: Workspace
) -> None:
    nest = _committed(workspace)
    (nest / "second").write_text("second")
    git(nest, "add", "-A")
    git(nest, "commit", "--quiet", "-m", "second")
    git(nest, "reset", "--quiet", "--hard", "HEAD~1")
    _stage(nest)
    shutil.rmtree(nest / ".git/refs/heads")
    (nest / ".git/refs/heads").write_text("this repository uses the reftable format\n")
    (nest / ".git/reftable").mkdir()
    taken = take(host, base, workspace)
    assert b"second" in _content(taken, "second")
    assert STAGED.encode() in _content(taken, "staged")
    assert "repository in the format reftable: its refs" in taken.left_out()
