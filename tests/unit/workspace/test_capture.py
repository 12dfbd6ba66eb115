"""The captured tree is what stands on the disk: no flag, filter or rule of the agent's counts."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import ChangeEmpty
from orchestrator.workspace.change import explain
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import push, take
from .conftest import Host, Upstream, capture, git


def _bare(tree: Path) -> None:
    git(tree, "config", "core.bare", "true")


def _elsewhere(tree: Path) -> None:
    git(tree, "config", "core.worktree", "/")


def _config(tree: Path) -> None:
    (tree / ".git/config").write_bytes(b"[core\n\0")


def _index(tree: Path) -> None:
    (tree / ".git/index").write_bytes(os.urandom(40))


def _head(tree: Path) -> None:
    (tree / ".git/HEAD").write_bytes(b"\0\xff" * 20)


def _gone(tree: Path) -> None:
    (tree / ".git").rename(tree.parent / "gone")


def _again(tree: Path) -> None:
    _gone(tree)
    git(tree, "init", "--quiet")


def _flags(tree: Path) -> None:
    git(tree, "update-index", "--skip-worktree", "README.md")


def _unchanged(tree: Path) -> None:
    git(tree, "update-index", "--assume-unchanged", "README.md")


def _sparse(tree: Path) -> None:
    (tree / "README.md").rename(tree.parent / "kept")
    git(tree, "sparse-checkout", "set", "nowhere")
    (tree.parent / "kept").rename(tree / "README.md")


def _excluded(tree: Path) -> None:
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git/info/exclude").write_text("*\n")


def _filtered(tree: Path) -> None:
    (tree / ".git/info").mkdir(exist_ok=True)
    (tree / ".git/info/attributes").write_text("* filter=x text eol=crlf\n")
    git(tree, "config", "filter.x.clean", "false")
    git(tree, "config", "filter.x.required", "true")


def _safe_line_ends(tree: Path) -> None:
    git(tree, "config", "core.autocrlf", "input")
    git(tree, "config", "core.safecrlf", "true")


def _nested_without_commit(tree: Path) -> None:
    git(tree, "init", "--quiet", "nest")


DAMAGES = [
    *(_bare, _elsewhere, _config, _index, _head, _gone, _again, _flags, _unchanged, _sparse),
    *(_excluded, _filtered, _safe_line_ends, _nested_without_commit),
]


@pytest.mark.parametrize("did", DAMAGES)
def test_the_files_are_taken_whatever_became_of_the_repository(
    host: Host, base: Base, workspace: Workspace, did: Callable[[Path], None]
) -> None:
    tree = workspace.worktree
    (tree / "README.md").write_bytes(b"changed\r\n")
    (tree / "new").write_bytes(b"new\r\n")
    did(tree)
    taken = take(host, base, workspace)
    assert taken.changed() == {"README.md": "M", "new": "A"}
    assert taken.content("README.md") == b"changed\r\n"
    assert taken.content("new") == b"new\r\n"


def test_what_a_sparse_checkout_put_away_is_not_removed_and_what_was_removed_is(
    host: Host, upstream: Upstream
) -> None:
    for name in ("src/a", "src/b", "doc/c"):
        (upstream.clone / name).parent.mkdir(exist_ok=True)
        (upstream.clone / name).write_text(name)
    push(upstream.clone)
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    git(workspace.worktree, "sparse-checkout", "set", "src")
    assert not (workspace.worktree / "doc").exists()
    (workspace.worktree / "src/a").unlink()
    (workspace.worktree / "new").touch()
    assert take(host, base, workspace).changed() == {"src/a": "D", "new": "A"}
    # Where nobody can tell which it was, nothing is removed.
    (workspace.worktree / ".git/index").write_bytes(b"garbage")
    assert take(host, base, workspace).changed() == {"new": "A"}


def test_a_change_of_the_same_size_and_time_is_seen(
    host: Host, base: Base, workspace: Workspace
) -> None:
    path = workspace.worktree / "README.md"
    before = path.stat()
    path.write_text("olleh\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert take(host, base, workspace).content("README.md") == b"olleh\n"


def test_an_index_of_ours_that_was_tampered_with_costs_time_and_nothing_else(
    host: Host, base: Base, workspace: Workspace
) -> None:
    (workspace.worktree / "README.md").write_text("olleh\n")
    for content in (b"", b"DIRC", os.urandom(100), workspace.index.read_bytes()[:50]):
        workspace.index.write_bytes(content)
        assert take(host, base, workspace).changed() == {"README.md": "M"}


def test_ignored_files_are_named_and_those_that_the_agent_versions_are_taken(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    (tree / "build").mkdir()
    for name in ("committed", "added", "left"):
        (tree / "build" / name).write_text(name)
    git(tree, "add", "-f", "build/committed")
    git(tree, "commit", "--quiet", "-m", "forced")
    git(tree, "add", "-f", "build/added")
    taken = take(host, base, workspace)
    assert taken.changed() == {"build/committed": "A", "build/added": "A"}
    assert taken.left_out() == {"ignored": ("build/left",)}


def test_names_modes_and_links_arrive_as_they_are(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    names = (
        "new\nline",
        os.fsdecode(b"\xff\xfe"),
        ":(top)magic",
        "*",
        "-x",
        '"quoted"',
        "readme.MD",
    )
    for name in names:
        (tree / name).write_text("x")
    (tree / "README.md").chmod(0o755)
    (tree / "link").symlink_to("/etc/passwd")
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tree / "socket"))
    for name in (".GIT", "git~1", ".git "):
        (tree / name).write_text("refused by git")
    taken = take(host, base, workspace)
    modes = taken.modes()
    assert modes["README.md"] == "100755"
    assert modes["link"] == "120000"
    assert set(names) <= modes.keys()
    assert len(modes) == len(names) + 3
    assert taken.left_out() == {
        "no file: a pipe, socket or device": ("pipe", "socket"),
        "name that git refuses": (".GIT", ".git ", "git~1"),
    }


def test_a_folder_in_a_file_s_place_and_a_file_in_a_folder_s(
    host: Host, upstream: Upstream
) -> None:
    (upstream.clone / "folder").mkdir()
    (upstream.clone / "folder/in").write_text("x")
    push(upstream.clone)
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    tree = workspace.worktree
    (tree / "README.md").unlink()
    (tree / "README.md").mkdir()
    (tree / "README.md/in").write_text("y")
    (tree / "folder/in").unlink()
    (tree / "folder").rmdir()
    (tree / "folder").write_text("z")
    changed = {"README.md": "D", "README.md/in": "A", "folder/in": "D", "folder": "A"}
    assert take(host, base, workspace).changed() == changed


DROPPED = {
    "node_modules/m/index.js": "node_modules",
    "pkg/node_modules/m.js": "pkg/node_modules",
    "src/__pycache__/m.cpython-311.pyc": "src/__pycache__",
    ".pytest_cache/README.md": ".pytest_cache",
    ".claude/settings.local.json": ".claude/settings.local.json",
    ".aider.chat.history.md": ".aider.chat.history.md",
    "env/lib/python/site.py": "env",
    ".DS_Store": ".DS_Store",
}


def test_droppings_are_named_and_not_taken_though_the_agent_committed_them(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    for name in DROPPED:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
    (tree / "env/pyvenv.cfg").write_text("home = /usr\n")
    (tree / "core").write_bytes(b"\x7fELF" + bytes(12) + b"\x04\x00")
    (tree / "core.js").write_text("work")
    (tree / "src/core").write_text("work")
    (tree / ".claude/settings.json").write_text("{}")
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "all of it")
    taken = take(host, base, workspace)
    assert set(taken.changed()) == {"core.js", "src/core", ".claude/settings.json"}
    left = next(one for one in taken.report.left_out if one.reason == "dropping")
    assert left.count == len(DROPPED) + 1
    assert set(left.paths) <= {*DROPPED.values(), "core"}


def test_what_looks_like_a_dropping_and_is_the_base_s_is_work(
    host: Host, upstream: Upstream
) -> None:
    for name in ("node_modules/m/index.js", "py/__pycache__/kept.pyc", "env/pyvenv.cfg"):
        (upstream.clone / name).parent.mkdir(parents=True, exist_ok=True)
        (upstream.clone / name).write_text("x")
    push(upstream.clone)
    base = host.mirrors.refresh(upstream.url, "main")
    tree = host.workspaces.create(base, "a1").worktree
    for name in ("node_modules/m/index.js", "node_modules/m/new.js", "env/new.py"):
        (tree / name).write_text("y")
    (tree / "src/node_modules").mkdir(parents=True)
    (tree / "src/node_modules/other.js").touch()
    changed = {"node_modules/m/index.js": "M", "node_modules/m/new.js": "A", "env/new.py": "A"}
    assert take(host, base, Workspace(tree.parent)).changed() == changed


def test_nothing_but_droppings_is_nothing(workspace: Workspace, base: Base) -> None:
    (workspace.worktree / "node_modules").mkdir()
    (workspace.worktree / "node_modules/x").touch()
    ended = capture(workspace, base)
    assert isinstance(explain(ended.exit_code, ended.stderr), ChangeEmpty)


def test_a_nested_repository_is_left_out_of_the_change_and_kept_beside_it(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    git(tree, "init", "--quiet", "nest")
    (tree / "nest/one").write_text("committed")
    git(tree / "nest", "add", "-A")
    git(tree / "nest", "commit", "--quiet", "-m", "inner work")
    (tree / "nest/two").write_text("uncommitted")
    (tree / "other").touch()
    taken = take(host, base, workspace)
    assert taken.changed() == {"other": "A"}
    assert taken.left_out()["nested repository"] == ("nest",)
    assert taken.content("two", "nested/nest") == b"uncommitted"
    assert taken.content("one", "nested/nest/refs/heads/master") == b"committed"


def test_git_init_in_a_folder_of_the_base_leaves_its_files_where_they_are(
    host: Host, upstream: Upstream
) -> None:
    (upstream.clone / "src").mkdir()
    (upstream.clone / "src/a").write_text("a")
    push(upstream.clone)
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    git(workspace.worktree / "src", "init", "--quiet")
    (workspace.worktree / "src/b").write_text("b")
    assert take(host, base, workspace).changed() == {"src/b": "A"}


@pytest.fixture
def submodule(host: Host, upstream: Upstream, tmp_path: Path) -> tuple[Base, Workspace]:
    """A base that pins a submodule, and a workspace with a clone of it in place."""
    inner = tmp_path / "inner"
    git(tmp_path, "init", "--quiet", "inner")
    git(inner, "commit", "--quiet", "--allow-empty", "-m", "pinned")
    git(
        upstream.clone, "-c", "protocol.file.allow=always", "clone", "--quiet", str(inner), "vendor"
    )
    git(upstream.clone, "add", "vendor")
    git(upstream.clone, "commit", "--quiet", "-m", "pin")
    git(upstream.clone, "push", "--quiet", "origin", "main")
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    git(workspace.worktree, "clone", "--quiet", str(inner), "vendor")
    return base, workspace


def test_a_pin_that_moved_is_a_change_and_its_commits_are_kept(
    host: Host, submodule: tuple[Base, Workspace]
) -> None:
    base, workspace = submodule
    vendor = workspace.worktree / "vendor"
    ended = capture(workspace, base)
    assert isinstance(explain(ended.exit_code, ended.stderr), ChangeEmpty)
    (vendor / "new").write_text("in the submodule")
    git(vendor, "add", "-A")
    git(vendor, "commit", "--quiet", "-m", "moved")
    taken = take(host, base, workspace)
    assert taken.changed() == {"vendor": "M"}
    assert taken.content("new", "nested/vendor/refs/heads/master") == b"in the submodule"
    again = host.workspaces.create(base, "a2", change=taken.bundle)
    assert git(again.worktree, "ls-files", "-s", "vendor").split()[1] == git(
        vendor, "rev-parse", "HEAD"
    )


def test_a_submodule_that_is_no_clone_keeps_its_pin_and_one_removed_loses_it(
    host: Host, submodule: tuple[Base, Workspace]
) -> None:
    base, _ = submodule
    workspace = host.workspaces.create(base, "a2")
    (workspace.worktree / "new").touch()
    assert take(host, base, workspace).changed() == {"new": "A"}
    (workspace.worktree / "vendor").rmdir()
    assert take(host, base, workspace).changed() == {"new": "A", "vendor": "D"}
    (workspace.worktree / "vendor").mkdir()
    (workspace.worktree / "vendor/own").touch()
    changed = {"new": "A", "vendor": "D", "vendor/own": "A"}
    assert take(host, base, workspace).changed() == changed
