"""Trees and names that no git would write are refused or arrive as what they are."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import ChangeRefused
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.attacks.conftest import (
    captured,
    delivered,
    files_of,
    naive,
    sandboxed_capture,
)
from tests.attacks.objects import REF, assert_refused, bundle_of, tree_of
from tests.unit.workspace.conftest import Host, Upstream, git


def _dot_git(tree: Path) -> str:
    return tree_of(tree, ("40000", git(tree, "rev-parse", "HEAD^{tree}"), b".git"))


def _dot_git_in_disguise(tree: Path) -> str:
    return tree_of(tree, ("40000", git(tree, "rev-parse", "HEAD^{tree}"), b".G\xe2\x80\x8cit"))


def _upwards(tree: Path) -> str:
    inner = tree_of(tree, ("100644", git(tree, "rev-parse", "HEAD:README.md"), b"escaped"))
    return tree_of(tree, ("40000", inner, b".."))


def _path_as_name(tree: Path) -> str:
    return tree_of(tree, ("100644", git(tree, "rev-parse", "HEAD:README.md"), b"../escaped"))


def _linked_modules(tree: Path) -> str:
    target = git(tree, "hash-object", "-w", "--stdin", stdin="elsewhere")
    return tree_of(tree, ("120000", target, b".gitmodules"))


def _dashed_url(tree: Path) -> str:
    text = '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=x\n'
    return tree_of(
        tree, ("100644", git(tree, "hash-object", "-w", "--stdin", stdin=text), b".gitmodules")
    )


def _twice(tree: Path) -> str:
    entry = ("100644", git(tree, "rev-parse", "HEAD:README.md"), b"same")
    return tree_of(tree, entry, entry)


def _folder_as_file(tree: Path) -> str:
    inner = tree_of(tree, ("100644", git(tree, "rev-parse", "HEAD:README.md"), b"x"))
    return tree_of(tree, ("100644", inner, b"file"))


@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (_dot_git, "hasDotgit"),
        (_dot_git_in_disguise, "hasDotgit"),
        (_upwards, "hasDotdot"),
        (_path_as_name, "fullPathname"),
        (_linked_modules, "gitmodulesSymlink"),
        (_dashed_url, "gitmodulesUrl"),
        (_twice, "duplicateEntries"),
        (_folder_as_file, None),
    ],
)
def test_trees_that_trip_git_come_in_naively_and_are_refused_by_ours(
    host: Host,
    base: Base,
    workspace: Workspace,
    tmp_path: Path,
    make: Callable[[Path], str],
    finding: str | None,
) -> None:
    """A fetch of the bundle takes them even with fsck switched on."""
    root = make(workspace.worktree)
    bundle = bundle_of(workspace.worktree, base, root)
    (tmp_path / "hostile").write_bytes(bundle)
    git(tmp_path, "clone", "--quiet", "--bare", str(base.mirror), "victim.git")
    fetch = ("-c", "transfer.fsckObjects=true", "fetch", "--quiet", str(tmp_path / "hostile"), REF)
    naive(tmp_path / "victim.git", *fetch)
    assert naive(tmp_path / "victim.git", "cat-file", "-e", root).returncode == 0
    assert_refused(host, base, bundle, finding)


def test_a_workspace_full_of_nested_repositories_is_staged_naively_and_left_out_by_ours(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    (tree / "n0").mkdir()
    git(tree / "n0", "init", "--quiet", "--template=")
    git(tree / "n0", "commit", "--quiet", "--allow-empty", "-m", "nested")
    for index in range(1, 50):
        shutil.copytree(tree / "n0", tree / f"n{index}")
    (tree / "new").touch()
    bundle = captured(host, base, workspace)
    naive(tree, "add", "-A")
    assert naive(tree, "ls-files", "--stage").stdout.count("160000 ") == 50
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        (change,) = host.candidates.contents(candidate, base)
    assert change.path == "new"


def test_replaced_objects_lie_to_a_naive_reader_and_not_to_ours(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    (tree / "README.md").write_text("evil\n")
    git(tree, "commit", "--quiet", "-a", "-m", "x")
    evil = git(tree, "rev-parse", "HEAD:README.md")
    git(tree, "replace", evil, git(tree, "rev-parse", f"{base.commit}:README.md"))
    assert naive(tree, "show", "HEAD:README.md").stdout == "hello\n"
    bundle = captured(host, base, workspace)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        (change,) = host.candidates.contents(candidate, base)
        assert change.after == b"evil\n"
        assert "+evil" in host.candidates.patch(candidate, base)
    commit = delivered(host, upstream, base, bundle)
    assert files_of(upstream.path, commit)["README.md"] == "evil"


@pytest.mark.parametrize("where", ["info/grafts", "shallow"])
def test_a_grafted_history_hides_a_commit_naively_and_not_from_ours(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace, where: str
) -> None:
    """Ours refuses what has a hole in it, or finds the commit; it never takes the agent's word."""
    tree = workspace.worktree
    for content in ("secret", None):
        (tree / "hidden").write_text(content) if content else (tree / "hidden").unlink()
        (tree / "kept").write_text(str(content))
        git(tree, "add", "-A")
        git(tree, "commit", "--quiet", "-m", "x")
    tip, hidden = git(tree, "rev-parse", "HEAD", "HEAD~1").splitlines()
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git" / where).write_text(
        f"{tip} {base.commit}\n" if where == "info/grafts" else f"{tip}\n"
    )
    assert hidden not in naive(tree, "rev-list", f"{base.commit}..HEAD").stdout.split()
    ended = sandboxed_capture(host, base, workspace)
    bundle = (workspace.tmp / "change.bundle").read_bytes() if not ended.exit_code else b""
    try:
        with host.candidates.received(base, bundle, "a1", 1) as candidate:
            span = (f"^{base.commit}", candidate.commit)
            listed = host.git.run("rev-list", *span, git_dir=candidate.git_dir).decode().split()
            assert hidden in listed
    except ChangeRefused:
        pass


ODD_NAMES = (
    *(b"\xff\xfe", b"two\nlines", b"tab\there", b"--output=x", b'quo"ted', b"\x1b[31mred"),
    *(b"back\\slash", b" leading", b"trailing ", b"*", b":(top)x", b"~", b"-", b"\x7f"),
)


def test_names_in_any_bytes_mislead_a_naive_reader_and_arrive_whole_in_ours(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace
) -> None:
    tree = os.fsencode(workspace.worktree)
    for name in ODD_NAMES:
        with open(os.path.join(tree, name), "wb") as file:  # noqa: PTH123, PTH118 - bytes
            file.write(b"odd")
    naive(workspace.worktree, "add", "-N", "--", ".")
    listed = naive(workspace.worktree, "diff", "--name-only").stdout.splitlines()
    assert set(listed) != {name.decode(errors="replace") for name in ODD_NAMES}
    bundle = captured(host, base, workspace)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        changes = host.candidates.contents(candidate, base)
        assert len({change.path for change in changes}) == len(ODD_NAMES)
        assert {change.after for change in changes} == {b"odd"}
        for text in (*(change.path for change in changes), host.candidates.patch(candidate, base)):
            text.encode()
    commit = delivered(host, upstream, base, bundle)
    raw = subprocess.run(
        ("git", "ls-tree", "-z", "--name-only", commit),
        cwd=upstream.path,
        capture_output=True,
        check=True,
    )
    assert set(raw.stdout.split(b"\0")) == {*ODD_NAMES, b".gitignore", b"README.md", b""}
