"""Each commit beside a change has a name of its own, and a limit leaves out as little as it can."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from orchestrator.workspace.change import capture_command, read_bundle, read_report
from orchestrator.workspace.inside.naming import ref_of, short_name
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import LIMIT, Taken, take
from .conftest import Host, git
from .test_capture_elsewhere import _blobs, commit, contents


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    return make_host()


@pytest.fixture
def base(host: Host, upstream) -> Base:
    return host.mirrors.refresh(upstream.url, "main")


@pytest.fixture
def workspace(host: Host, base: Base) -> Workspace:
    return host.workspaces.create(base, "a1")


def test_reset_commits_of_two_worktrees_with_one_name_in_their_logs(host, base, workspace):
    tree = workspace.worktree
    for name in ("one", "two"):
        git(tree, "worktree", "add", "--quiet", "--detach", f"../{name}")
        commit(workspace.root / name, text=f"{name}\n")
        git(workspace.root / name, "reset", "--quiet", "--hard", "HEAD~1")
    taken = take(host, base, workspace)
    assert contents(taken) == {b"one\n", b"two\n"}
    names = [one.ref for one in taken.report.retained]
    assert len(set(names)) == len(names)
    assert set(names) == set(taken.beside)


def test_every_head_of_one_fetch_is_retained(host, base, workspace, tmp_path):
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "--quiet")
    for name in "abc":
        git(library, "checkout", "--quiet", "--orphan", name)
        commit(library, text=f"{name}\n")
    git(workspace.worktree, "fetch", "--quiet", str(library), "a", "b", "c")
    assert contents(take(host, base, workspace)) == {b"a\n", b"b\n", b"c\n"}


def test_long_names_with_one_beginning_stay_apart(host, base, workspace):
    for number in (1, 2):
        nested = workspace.worktree / ("n" * 230) / f"x{number}"
        nested.mkdir(parents=True)
        git(nested, "init", "--quiet")
        commit(nested, text=f"{number}\n")
    assert contents(take(host, base, workspace)) == {b"1\n", b"2\n"}


def test_what_is_only_staged_in_a_linked_worktree_is_retained(host, base, workspace):
    for name in ("one", "two"):
        git(workspace.worktree, "worktree", "add", "--quiet", "--detach", f"../{name}")
        folder = workspace.root / name
        (folder / "work").write_text(f"{name}\n")
        git(folder, "add", "work")
        (folder / "work").unlink()
    taken = take(host, base, workspace)
    assert contents(taken) == {b"one\n", b"two\n"}
    assert {"worktrees/one/index", "worktrees/two/index"} <= set(taken.beside)


def test_names_are_short_and_their_own():
    taken: set[str] = set()
    for name in ("a" * 300, "a" * 299, "a" * 300, "b", "b", "b~2"):
        found = short_name(name, taken.__contains__)
        assert len(found) <= 203
        assert found not in taken
        assert ref_of("branch", found)
        taken.add(found)


# ── the agent's own commits below the change ────────────────────────────────────────────────


def test_what_an_own_commit_had_and_the_change_has_not_stays_after_the_push(host, base, workspace):
    """A delivery squashes: a state that names nothing retained has its bundle removed."""
    tree = workspace.worktree
    commit(tree, "gone", "gone\n")
    git(tree, "rm", "--quiet", "gone")
    commit(tree)
    taken = take(host, base, workspace)
    assert taken.changed() == {"work": "A"}
    (history,) = taken.report.retained
    assert (history.ref, history.kind) == ("history", "checkpoint")
    assert b"gone\n" in _blobs(taken)
    assert taken.beside["history"].commit == git(tree, "rev-parse", "HEAD")


def test_own_commits_that_the_change_contains_are_not_named(host, base, workspace):
    commit(workspace.worktree, "one")
    commit(workspace.worktree, "two", "two\n")
    assert take(host, base, workspace).report.retained == ()


# ── limits ──────────────────────────────────────────────────────────────────────────────────


def limited(host: Host, base: Base, workspace: Workspace, limit_bytes: int) -> Taken:
    """Capture with a limit on the bundle."""
    command = capture_command(workspace, base, limit_bytes=limit_bytes)
    ended = subprocess.run(
        command.argv, cwd=workspace.root, capture_output=True, check=True,
        env={"PATH": os.environ["PATH"], **command.env},
    )  # fmt: skip
    return Taken(host, base, read_bundle(workspace, LIMIT), read_report(ended.stdout))


def test_a_large_stash_does_not_displace_small_branches(host, base, workspace):
    tree = workspace.worktree
    (tree / "big").write_bytes(os.urandom(300_000))
    git(tree, "stash", "--quiet", "--include-untracked")
    for name in ("one", "two"):
        git(tree, "switch", "--quiet", "-c", name)
        commit(tree, text=f"{name}\n")
        git(tree, "switch", "--quiet", "-")
    (tree / "other").write_text("other\n")
    taken = limited(host, base, workspace, 100_000)
    assert contents(taken) >= {b"one\n", b"two\n"}
    assert taken.left_out()["more than 100000 bytes in the bundle"] == ("stash@{0}",)
    assert len(taken.bundle) < 100_000


def test_a_large_history_leaves_the_change_alone(host, base, workspace):
    tree = workspace.worktree
    (tree / "big").write_bytes(os.urandom(300_000))
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "big")
    git(tree, "rm", "--quiet", "big")
    commit(tree)
    taken = limited(host, base, workspace, 100_000)
    assert taken.changed() == {"work": "A"}
    assert taken.report.retained == ()
    assert taken.left_out()["more than 100000 bytes in the bundle"] == ("history",)


def test_a_report_of_long_and_many_names_is_read(host, base, workspace):
    tree = workspace.worktree
    (tree / "work").write_text("work\n")
    deep = tree
    for _ in range(14):
        deep = deep / ("\u00fc" * 120)
    deep.mkdir(parents=True)
    for number in range(60):
        os.mkfifo(deep / f"{number}")
        (deep / f"{number}.d" / "node_modules").mkdir(parents=True)
        (deep / f"{number}.d" / "node_modules" / "x").write_text("x")
    report = take(host, base, workspace).report
    assert report.is_changed
    assert {one.reason: one.count for one in report.left_out} == {
        "no file: a pipe, socket or device": 60,
        "dropping": 60,
    }
