"""Objects that unpack to a huge size are refused before they are read."""

from __future__ import annotations

import resource
import subprocess

import pytest

from orchestrator.errors import ChangeTooLarge
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.object_sizes import extents
from orchestrator.workspace.worktree import Workspace
from tests.attacks.conftest import (
    captured,
)
from tests.attacks.objects import REF, bundle_of, tree_of
from tests.unit.workspace.conftest import Host, git


def test_a_small_bundle_of_a_huge_file_fills_a_naive_reader_and_is_refused_by_ours(
    host: Host, base: Base, workspace: Workspace
) -> None:
    """Where a later commit removes it, the history with it stays behind, and the tree leaves."""
    tree, huge = workspace.worktree, 300 * 2**20
    with (tree / "zeros").open("wb") as zeros:
        zeros.truncate(huge)
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "x")
    shown = captured(host, base, workspace)
    assert len(shown) < 2**20
    read = subprocess.run(
        ("git", "cat-file", "blob", "HEAD:zeros"), cwd=tree, capture_output=True, check=True
    )
    assert len(read.stdout) == huge
    del read
    (tree / "zeros").unlink()
    (tree / "new").touch()
    hidden = captured(host, base, workspace)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (
        pytest.raises(ChangeTooLarge, match="adds 314,"),
        host.candidates.received(base, shown, "a1", 1),
    ):
        pass
    with host.candidates.received(base, hidden, "a1", 1) as candidate:
        assert git(candidate.git_dir, "rev-parse", f"{candidate.commit}~") == base.commit
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss == before_kib


@pytest.mark.parametrize(("content", "levels"), [("", 10), ("x" * 100_000, 4)])
def test_a_tree_that_unpacks_to_billions_of_files_is_refused_unlisted(
    host: Host, base: Base, workspace: Workspace, content: str, levels: int
) -> None:
    """Ten folders, each ten times in the next: two kilobytes that a naive listing never ends."""
    tree = workspace.worktree
    blob = git(tree, "hash-object", "-w", "--stdin", stdin=content)
    root = tree_of(tree, *(("100644", blob, b"%d" % n) for n in range(10)))
    for _ in range(levels - 1):
        root = tree_of(tree, *(("40000", root, b"%d" % n) for n in range(10)))
    bundle = bundle_of(tree, base, root)
    assert len(bundle) < 4096
    with subprocess.Popen(
        ("git", "ls-tree", "-r", "--long", root), cwd=tree, stdout=subprocess.PIPE
    ) as listing:
        assert listing.stdout is not None
        assert all(listing.stdout.readline() for _ in range(10**4))
        listing.kill()
    for take in (
        lambda: host.workspaces.create(base, "a2", change=bundle),
        lambda: host.candidates.received(base, bundle, "a1", 1).__enter__(),
    ):
        with pytest.raises(ChangeTooLarge):
            take()


def test_folders_of_many_commits_that_fill_a_naive_reader_are_refused_unread(
    host: Host, base: Base, workspace: Workspace
) -> None:
    """Some kilobytes of them; and no commit has more files than may come in."""
    tree = workspace.worktree
    blob = git(tree, "hash-object", "-w", "--stdin", stdin="x")
    tip = base.commit
    for number in range(60):
        names = (b"%05d" % name for name in range(20_000))
        folder = tree_of(tree, *(("100644", blob, name) for name in names), *_marked(blob, number))
        root = tree_of(tree, ("40000", folder, b"folder"))
        tip = git(tree, "commit-tree", root, "-p", tip, "-m", "x")
    git(tree, "update-ref", REF, tip)
    git(tree, "bundle", "create", "--quiet", "../hostile", REF, f"^{base.commit}")
    bundle = (tree.parent / "hostile").read_bytes()
    assert len(bundle) < 2**20
    for take in (
        lambda: host.workspaces.create(base, "a2", change=bundle),
        lambda: host.candidates.received(base, bundle, "a1", 1).__enter__(),
    ):
        with pytest.raises(ChangeTooLarge, match="of them folders"):
            take()


def _marked(blob: str, number: int) -> tuple[tuple[str, str, bytes], ...]:
    """What sets one folder apart from the others, behind its other names."""
    return (("100644", blob, b"x%05d" % number),)


def test_a_folder_that_stands_in_every_place_of_another_is_measured_once(
    host: Host, base: Base, workspace: Workspace
) -> None:
    """By the square of its places it would take hours."""
    tree, places = workspace.worktree, 50_000
    blob = git(tree, "hash-object", "-w", "--stdin", stdin="x")
    inner = tree_of(tree, *(("100644", blob, b"%05d" % n) for n in range(places)))
    outer = tree_of(tree, *(("40000", inner, b"%05d" % n) for n in range(places)))
    (extent,) = extents(host.git, tree / ".git", (outer,))
    assert (extent.files, extent.size) == (places**2, places**2)
