"""Work that an agent left where no worktree is: moved, cloned, linked, nested or closed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.workspace.change import capture_command, explain, read_bundle, read_report
from orchestrator.workspace.inside.program import EMPTY, LOST
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import LIMIT, Taken, take
from .conftest import Host, capture, git

FILE = ("-c", "protocol.file.allow=always")


def commit(folder: Path, name: str = "work", text: str = "work\n") -> None:
    (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", f"add {name}")


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    return make_host()


@pytest.fixture
def base(host: Host, upstream) -> Base:
    return host.mirrors.refresh(upstream.url, "main")


@pytest.fixture
def workspace(host: Host, base: Base) -> Workspace:
    return host.workspaces.create(base, "a1")


def contents(taken: Taken) -> set[bytes]:
    """Return the content of the file `work` in the change and in each commit beside it."""
    found = set()
    for ref in ("", *taken.beside):
        try:
            found.add(taken.content("work", ref))
        except Exception:  # noqa: BLE001 - it has no such file
            continue
    return found


# ── the worktree, or its repository, is somewhere else ──────────────────────────────────────


@pytest.mark.parametrize("target", ["moved", "home/moved", "tmp/deep/er/moved"])
def test_a_worktree_that_was_moved_is_the_worktree(host, base, workspace, target):
    commit(workspace.worktree, "stashed")
    git(workspace.worktree, "branch", "kept")
    (workspace.worktree / "work").write_text("work\n")
    to = workspace.root / target
    to.parent.mkdir(parents=True, exist_ok=True)
    workspace.worktree.rename(to)
    taken = take(host, base, workspace)
    assert taken.changed() == {"stashed": "A", "work": "A"}


def test_a_link_in_place_of_the_worktree_is_followed(host, base, workspace):
    workspace.worktree.rename(workspace.root / "moved")
    workspace.worktree.symlink_to("moved")
    (workspace.root / "moved" / "work").write_text("work\n")
    assert take(host, base, workspace).changed() == {"work": "A"}


def test_no_worktree_and_no_clone_is_lost(base, workspace):
    shutil.rmtree(workspace.worktree)
    assert capture(workspace, base).exit_code == LOST


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_a_repository_that_was_moved_is_found_by_its_file(host, base, workspace, ending):
    tree = workspace.worktree
    git(tree, "switch", "--quiet", "-c", "feature")
    commit(tree)
    git(tree, "switch", "--quiet", "-")
    (tree / ".git").rename(workspace.home / "its.git")
    (tree / ".git").write_bytes(f"gitdir: ../home/its.git{ending}".encode())
    assert "refs/heads/feature" in take(host, base, workspace).beside


def test_a_worktree_of_another_clone_in_place_of_the_repository(host, base, workspace):
    tree, other = workspace.worktree, workspace.home / "other"
    git(workspace.home, "clone", "--quiet", str(tree), "other")
    git(other, "worktree", "add", "--quiet", "-b", "feature", str(workspace.home / "linked"))
    shutil.rmtree(tree / ".git")
    (tree / ".git").write_bytes((workspace.home / "linked" / ".git").read_bytes())
    commit(tree)
    git(tree, "rm", "--quiet", "work")
    git(tree, "commit", "--quiet", "-m", "gone")
    (tree / "other").write_text("other\n")
    taken = take(host, base, workspace)
    assert b"work\n" in b"".join(_blobs(taken))


def _blobs(taken: Taken) -> list[bytes]:
    with taken.host.candidates.received_whole(taken.base, taken.bundle, "look", 1) as (where, _):
        names = git(where, "cat-file", "--batch-check", "--batch-all-objects").splitlines()
        blobs = [line.split()[0] for line in names if line.split()[1] == "blob"]
        return [git(where, "cat-file", "blob", one).encode() + b"\n" for one in blobs]


# ── clones and linked worktrees outside ─────────────────────────────────────────────────────


@pytest.mark.parametrize("place", ["home/copy", "tmp/copy", "beside", "home/a/b/copy"])
def test_a_clone_outside_the_worktree_is_retained(host, base, workspace, place):
    where = workspace.root / place
    where.parent.mkdir(parents=True, exist_ok=True)
    git(where.parent, "clone", "--quiet", str(workspace.worktree), where.name)
    commit(where)
    (where / "loose").write_text("loose\n")
    taken = take(host, base, workspace)
    assert not taken.report.is_changed
    assert taken.content("loose", f"outside/{place}") == b"loose\n"
    assert b"work\n" in contents(taken)


def test_a_bare_clone_and_a_dropped_stash_of_a_clone_are_retained(host, base, workspace):
    git(workspace.home, "clone", "--quiet", "--bare", str(workspace.worktree), "bare.git")
    copy = workspace.home / "copy"
    git(workspace.home, "clone", "--quiet", "bare.git", "copy")
    commit(copy, text="pushed\n")
    git(copy, "push", "--quiet", "origin", "HEAD:refs/heads/pushed")
    (copy / "work").write_text("stashed\n")
    git(copy, "stash", "--quiet")
    git(copy, "stash", "drop", "--quiet")
    git(copy, "reset", "--quiet", "--hard", "HEAD~1")
    shutil.rmtree(copy / ".git/logs")
    assert contents(take(host, base, workspace)) >= {b"pushed\n", b"stashed\n"}


def test_other_repositories_in_home_are_nobodys_work(base, workspace):
    tool = workspace.home / "tool"
    tool.mkdir()
    git(tool, "init", "--quiet")
    commit(tool)
    assert capture(workspace, base).exit_code == EMPTY


# ── submodules and nested repositories ──────────────────────────────────────────────────────


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder, "lib", "lib\n")
    return folder


def _submodule(tree: Path, library: Path) -> Path:
    git(tree, *FILE, "submodule", "--quiet", "add", str(library), "sub")
    commit(tree / "sub")
    return tree / "sub"


def test_commits_of_a_submodule_without_a_folder_are_retained(host, base, workspace, library):
    tree = workspace.worktree
    _submodule(tree, library)
    git(tree, "submodule", "--quiet", "deinit", "--force", "sub")
    git(tree, "rm", "--quiet", "--cached", "-rf", ".gitmodules", "sub")
    (tree / ".gitmodules").unlink()
    assert b"work\n" in contents(take(host, base, workspace))


def test_work_in_a_submodule_of_a_linked_worktree_is_retained(host, base, workspace, library):
    tree = workspace.worktree
    _submodule(tree, library)
    git(tree, "commit", "--quiet", "-am", "a submodule")
    linked = workspace.root / "linked"
    git(tree, "worktree", "add", "--quiet", "--detach", str(linked))
    shutil.rmtree(tree / "sub")
    git(tree, "reset", "--quiet", "--hard", "HEAD~1")
    inner = linked / "sub"
    git(workspace.root, "clone", "--quiet", str(library), str(inner))
    (inner / "work").write_text("inside\n")
    assert b"inside\n" in contents(take(host, base, workspace))


def test_work_in_a_repository_nested_in_a_nested_one_is_retained(host, base, workspace):
    outer = workspace.worktree / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    for folder in (outer, inner):
        git(folder, "init", "--quiet")
    (inner / "work").write_text("inside\n")
    assert b"inside\n" in contents(take(host, base, workspace))


def test_a_reset_commit_of_a_nested_repository_is_retained(host, base, workspace):
    nested = workspace.worktree / "nested"
    nested.mkdir()
    git(nested, "init", "--quiet")
    commit(nested, "lib", "lib\n")
    commit(nested)
    git(nested, "reset", "--quiet", "--hard", "HEAD~1")
    assert b"work\n" in contents(take(host, base, workspace))


def test_a_format_that_cannot_be_read_is_named(host, base, workspace):
    nested = workspace.worktree / "nested"
    nested.mkdir()
    git(nested, "init", "--quiet", "--object-format=sha256")
    commit(nested)
    taken = take(host, base, workspace)
    assert taken.left_out()["repository in the format sha256: its commits"] == ("nested/nested",)
    assert taken.content("work", "nested/nested") == b"work\n"


def test_a_repository_in_another_format_is_named(host, base, workspace):
    shutil.rmtree(workspace.worktree / ".git")
    git(workspace.worktree, "init", "--quiet", "--object-format=sha256")
    commit(workspace.worktree)
    taken = take(host, base, workspace)
    assert taken.changed() == {"work": "A"}
    assert taken.left_out()["repository in the format sha256: its commits"] == (".git",)


# ── what is closed ──────────────────────────────────────────────────────────────────────────


def test_nothing_is_lost_in_closed_folders(host, base, workspace):
    tree = workspace.worktree
    git(tree, "switch", "--quiet", "-c", "feature")
    commit(tree)
    git(tree, "switch", "--quiet", "-")
    (tree / "other").write_text("other\n")
    for path in sorted(tree.rglob("*"), reverse=True):
        if not path.is_symlink():
            path.chmod(0)
    tree.chmod(0)
    workspace.tmp.chmod(0)
    # Nothing is closed to a process with root's capabilities.
    ended = capture(workspace, base, before=("setpriv", "--bounding-set=-all", "--inh-caps=-all"))
    assert ended.exit_code == 0, ended.stderr
    taken = Taken(host, base, read_bundle(workspace, LIMIT), read_report(ended.stdout))
    assert "refs/heads/feature" in taken.beside
    assert taken.changed() == {"other": "A"}


@pytest.mark.parametrize("what", ["file", "link", "gone", "bundle", "deep"])
def test_whatever_stands_in_the_place_of_the_scratch_space(host, base, workspace, what):
    (workspace.worktree / "work").write_text("work\n")
    if what in ("file", "link", "gone"):
        shutil.rmtree(workspace.tmp)
    if what == "file":
        workspace.tmp.write_text("")
    elif what == "link":
        workspace.tmp.symlink_to(workspace.home)
    elif what == "bundle":
        (workspace.tmp / "change.bundle" / "folder").mkdir(parents=True)
        (workspace.tmp / "change.bundle.lock").write_text("")
    elif what == "deep":
        at = os.open(workspace.tmp, os.O_RDONLY)
        for name in ("capture", *("d" * 100 for _ in range(1200))):
            os.mkdir(name, dir_fd=at)
            below = os.open(name, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)
    assert take(host, base, workspace).changed() == {"work": "A"}
    host.workspaces.remove("a1")


# ── what is named if there is no change ─────────────────────────────────────────────────────


def test_an_agent_that_changed_nothing_hears_what_was_left_out(base, workspace):
    os.mkfifo(workspace.worktree / "pipe")
    (workspace.worktree / "build").mkdir()
    (workspace.worktree / "build" / "out").write_text("out")
    ended = capture(workspace, base)
    assert ended.exit_code == EMPTY
    error = explain(ended.exit_code, ended.stderr, read_report(ended.stdout))
    assert "pipe" in str(error)
    assert "build" in str(error)
    assert "[capture] include" in str(error)


def test_a_lost_workspace_reports_too(base, workspace):
    shutil.rmtree(workspace.worktree / ".git")
    ended = capture(workspace, base)
    assert ended.exit_code == LOST
    assert [one.paths for one in read_report(ended.stdout).left_out] == [(".git",)]


def test_the_capture_reads_no_more_than_it_may(base, workspace):
    command = capture_command(workspace, base)
    assert "repositories.py" in {one.name for one in command.readable}
