"""What may not leave whatever the gates say: conflicts, merges half done, files left unfiltered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import FilterUnsupported
from orchestrator.interfaces.gate import FileChange
from orchestrator.workspace.markers import conflict_markers
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import push, take
from .conftest import Host, Upstream, git

CONFLICT = b"a\n<<<<<<< HEAD\nmine\n=======\ntheirs\n>>>>>>> other\nb\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 123\n"


@pytest.mark.parametrize(
    ("before", "after", "is_found"),
    [
        (None, CONFLICT, True),
        (b"a\n", CONFLICT.replace(b"\n", b"\r\n"), True),
        (b"a\n", CONFLICT.replace(b"=======\n", b"||||||| base\nold\n=======\n"), True),
        (CONFLICT, CONFLICT + CONFLICT, True),
        (CONFLICT, CONFLICT + b"more\n", False),
        (None, b"Title\n=======\n\n>>>>>>> quoted\n", False),
        (None, b"  <<<<<<< HEAD\n=======\n>>>>>>> x\n", False),
        (None, b"<<<<<<<<<<\n=======\n>>>>>>>>>>\n", False),
        (None, b">>>>>>> a\n=======\n<<<<<<< b\n", False),
        (CONFLICT, None, False),
    ],
)
def test_markers_are_a_conflict_only_in_their_order(
    before: bytes | None, after: bytes | None, *, is_found: bool
) -> None:
    found = list(conflict_markers([FileChange("x", before, after)]))
    assert bool(found) is is_found


def _diverge(tree: Path) -> None:
    (tree / "README.md").write_text("mine\n")
    git(tree, "commit", "--quiet", "-am", "mine")
    git(tree, "switch", "--quiet", "-c", "other", "HEAD~1")
    (tree / "README.md").write_text("theirs\n")
    git(tree, "commit", "--quiet", "-am", "theirs")


def _merge(tree: Path) -> None:
    git(tree, "merge", "agent/a1")


def _rebase(tree: Path) -> None:
    git(tree, "rebase", "agent/a1")


def _cherry_pick(tree: Path) -> None:
    git(tree, "cherry-pick", "agent/a1")


def _revert(tree: Path) -> None:
    (tree / "README.md").write_text("later\n")
    git(tree, "commit", "--quiet", "-am", "later")
    git(tree, "revert", "--no-edit", "HEAD~1")


def _stash_pop(tree: Path) -> None:
    (tree / "README.md").write_text("stashed\n")
    git(tree, "stash", "--quiet")
    git(tree, "switch", "--quiet", "agent/a1")
    git(tree, "stash", "pop")


@pytest.mark.parametrize(
    ("did", "said"),
    [
        (_merge, "a merge was"),
        (_rebase, "a rebase was"),
        (_cherry_pick, "a cherry-pick was"),
        (_revert, "a revert was"),
        (_stash_pop, "README.md is unmerged"),
    ],
)
def test_what_was_begun_and_not_finished_is_said_and_both_sides_are_kept(
    host: Host, base: Base, workspace: Workspace, did: Callable[[Path], None], said: str
) -> None:
    import subprocess

    _diverge(workspace.worktree)
    with pytest.raises(subprocess.CalledProcessError):
        did(workspace.worktree)
    taken = take(host, base, workspace)
    assert any(one.startswith(said) for one in taken.report.unfinished)
    assert "README.md is unmerged" in taken.report.unfinished
    with host.candidates.received(base, taken.bundle, "a1", 1) as candidate:
        contents = host.candidates.contents(candidate, base)
    assert [one.path for one in conflict_markers(contents)] == ["README.md"]
    # In the next round nothing is in progress any more.
    again = host.workspaces.create(base, "a2", change=taken.bundle)
    (again.worktree / "README.md").write_text("both\n")
    assert not take(host, base, again).report.unfinished


def test_a_bisection_is_unfinished_too(host: Host, base: Base, workspace: Workspace) -> None:
    git(workspace.worktree, "bisect", "start")
    (workspace.worktree / "new").touch()
    report = take(host, base, workspace).report
    assert report.unfinished == ("a bisection was begun and not finished",)


# ── files that a filter keeps ───────────────────────────────────────────────────────────────


@pytest.fixture
def filtered(host: Host, upstream: Upstream) -> Base:
    """A base with one file in Git LFS."""
    (upstream.clone / ".gitattributes").write_text("*.bin filter=lfs diff=lfs -text\n")
    (upstream.clone / "model.bin").write_text(POINTER)
    git(upstream.clone, "config", "filter.lfs.clean", "cat")
    push(upstream.clone)
    return host.mirrors.refresh(upstream.url, "main")


def test_a_base_whose_files_a_filter_keeps_is_refused_before_anything_starts(
    host: Host, filtered: Base
) -> None:
    with pytest.raises(FilterUnsupported, match=r"lfs stores 1 files, such as model\.bin"):
        host.workspaces.create(filtered, "a1")
    assert not (host.settings.workspaces_dir / "a1").exists()


def test_attributes_without_a_file_refuse_nothing(host: Host, upstream: Upstream) -> None:
    (upstream.clone / ".gitattributes").write_text("*.bin filter=lfs\n*.txt text\n")
    push(upstream.clone)
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    (workspace.worktree / "new.bin").write_bytes(b"raw")
    taken = take(host, base, workspace)
    with host.candidates.received(base, taken.bundle, "a1", 1) as candidate:
        (fault,) = host.candidates.filter_faults(candidate, base)
    assert (fault.path, fault.filter) == ("new.bin", "lfs")


def _raw(tree: Path) -> str:
    (tree / "model.bin").write_bytes(b"raw content")
    return "model.bin"


def _new_raw(tree: Path) -> str:
    (tree / "new.bin").write_bytes(b"raw content")
    return "new.bin"


def _pointer_to_nothing(tree: Path) -> str:
    (tree / "model.bin").write_text(POINTER.replace("ab", "cd"))
    return "model.bin"


def _newly_filtered(tree: Path) -> str:
    (tree / "sub").mkdir()
    (tree / "sub/.gitattributes").write_text("*.dat filter=annex\n")
    (tree / "sub/x.dat").write_bytes(b"raw")
    return "sub/x.dat"


def _copied(tree: Path) -> str:
    (tree / "copy.bin").write_text(POINTER)
    return ""


def _other_file(tree: Path) -> str:
    (tree / "other").touch()
    return ""


def _removed(tree: Path) -> str:
    (tree / "model.bin").unlink()
    return ""


@pytest.mark.parametrize(
    "did",
    [_raw, _new_raw, _pointer_to_nothing, _newly_filtered, _copied, _other_file, _removed],
)
def test_where_pointers_are_allowed_only_those_of_the_base_leave(
    make_host: Callable[..., Host], filtered: Base, did: Callable[[Path], str]
) -> None:
    host = make_host(ORCHESTRATOR_STORED_FILTERS="lfs")
    workspace = host.workspaces.create(filtered, "a1")
    assert (workspace.worktree / "model.bin").read_text() == POINTER
    named = did(workspace.worktree)
    taken = take(host, filtered, workspace)
    with host.candidates.received(filtered, taken.bundle, "a1", 1) as candidate:
        faults = host.candidates.filter_faults(candidate, filtered)
    assert [fault.path for fault in faults] == ([named] if named else [])
