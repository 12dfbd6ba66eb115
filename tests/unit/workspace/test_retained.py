"""Whatever an agent committed anywhere travels beside its change, named, and comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import ChangeEmpty, ChangeRefused, ChangeTooLarge
from orchestrator.workspace.bundle import bundle_of, read_heads
from orchestrator.workspace.change import capture_command, explain, read_bundle, read_report
from orchestrator.workspace.clone import EARLIER
from orchestrator.workspace.inside.naming import read_ref, ref_of
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .captured import Taken, take
from .conftest import Host, capture, git


def _commit(tree: Path, text: str = "work") -> None:
    (tree / "work").write_text(text)
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "the work")


def _branch(tree: Path) -> str:
    git(tree, "switch", "--quiet", "-c", "feature/x")
    _commit(tree)
    git(tree, "switch", "--quiet", "-")
    return "refs/heads/feature/x"


def _packed(tree: Path) -> str:
    name = _branch(tree)
    git(tree, "gc", "--quiet")
    return name


def _tag(tree: Path) -> str:
    _branch(tree)
    git(tree, "tag", "-am", "done", "v1", "feature/x")
    git(tree, "branch", "--quiet", "-D", "feature/x")
    return "refs/tags/v1"


def _stash(tree: Path) -> str:
    (tree / "work").write_text("work")
    git(tree, "stash", "--quiet", "--include-untracked")
    return "stash@{0}"


def _second_stash(tree: Path) -> str:
    _stash(tree)
    (tree / "README.md").write_text("more")
    git(tree, "stash", "--quiet")
    return "stash@{1}"


def _worktree(tree: Path) -> str:
    git(tree, "worktree", "add", "--quiet", "-b", "sub", ".claude/worktrees/sub")
    _commit(tree / ".claude/worktrees/sub")
    git(tree, "worktree", "remove", ".claude/worktrees/sub")
    return "refs/heads/sub"


def _detached_worktree(tree: Path) -> str:
    git(tree, "worktree", "add", "--quiet", "--detach", "sub")
    _commit(tree / "sub")
    return "worktrees/sub"


def _uncommitted_in_worktree(tree: Path) -> str:
    git(tree, "worktree", "add", "--quiet", "-b", "sub", ".claude/worktrees/sub")
    (tree / ".claude/worktrees/sub/work").write_text("work")
    return "worktrees/sub/uncommitted"


def _reset(tree: Path) -> str:
    _commit(tree)
    commit = git(tree, "rev-parse", "HEAD")
    git(tree, "reset", "--quiet", "--hard", "HEAD~1")
    return commit


def _lost(tree: Path) -> str:
    commit = _reset(tree)
    git(tree, "update-ref", "-d", "ORIG_HEAD")
    shutil.rmtree(tree / ".git/logs")
    return commit


def _detached(tree: Path) -> str:
    git(tree, "checkout", "--quiet", "--detach")
    _commit(tree)
    (tree / "work").unlink()
    return "HEAD"


def _staged(tree: Path) -> str:
    (tree / "work").write_text("work")
    git(tree, "add", "-A")
    (tree / "work").unlink()
    return "index"


WAYS = [
    *(_branch, _packed, _tag, _stash, _second_stash, _worktree, _detached_worktree),
    *(_uncommitted_in_worktree, _reset, _lost, _detached, _staged),
]


def _found(taken: Taken, name: str) -> str:
    """Return by which name a thing is kept, given its name or its commit."""
    return next(one.name for one in taken.beside.values() if name in (one.name, one.commit))


@pytest.mark.parametrize("did", WAYS)
def test_with_a_tree_as_it_was_the_work_is_kept_and_named(
    host: Host, base: Base, workspace: Workspace, did: Callable[[Path], str]
) -> None:
    name = did(workspace.worktree)
    taken = take(host, base, workspace)
    assert not taken.report.is_changed
    assert not taken.changed()
    found = _found(taken, name)
    if "stash" not in found:  # there the file is untracked, in a parent of the stash
        assert taken.content("work", found) == b"work"
    assert found in {one.ref for one in taken.report.retained}
    with (
        pytest.raises(ChangeEmpty),
        host.candidates.received(base, taken.bundle, "a1", 1),
    ):
        pass


@pytest.mark.parametrize("did", WAYS)
def test_with_another_file_changed_both_are_there(
    host: Host, base: Base, workspace: Workspace, did: Callable[[Path], str]
) -> None:
    name = did(workspace.worktree)
    (workspace.worktree / "other").touch()
    taken = take(host, base, workspace)
    assert set(taken.changed()) == {"other"}
    if did is not _detached:  # its commit is the change's parent then
        assert _found(taken, name)


@pytest.mark.parametrize("did", [_branch, _second_stash, _uncommitted_in_worktree, _reset])
def test_the_next_round_has_it_all_and_keeps_it(
    host: Host, base: Base, workspace: Workspace, did: Callable[[Path], str]
) -> None:
    name = did(workspace.worktree)
    first = take(host, base, workspace)
    found = _found(first, name)
    again = host.workspaces.create(base, "a2", change=first.bundle)
    tree = again.worktree
    assert git(tree, "rev-parse", "HEAD^{tree}") == git(
        tree, "rev-parse", f"{base.commit}^{{tree}}"
    )
    if did is _branch:
        assert git(tree, "show", "feature/x:work") == "work"
    if did is _second_stash:
        git(tree, "stash", "pop", "--quiet")
        git(tree, "stash", "drop", "--quiet")
        assert (tree / "README.md").read_text() == "more"
        return
    (tree / "new").touch()
    second = take(host, base, again)
    assert set(second.changed()) == {"new"}
    assert second.beside[found].commit == first.beside[found].commit


def test_amended_picked_and_empty_commits_are_no_work_of_their_own(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    _commit(tree)
    git(tree, "commit", "--quiet", "--amend", "-m", "in other words")
    git(tree, "commit", "--quiet", "--allow-empty", "-m", "nothing")
    git(tree, "branch", "same")
    taken = take(host, base, workspace)
    assert not taken.report.retained
    assert set(taken.changed()) == {"work"}


def test_one_of_them_goes_out_as_a_bundle_of_its_own(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    _branch(workspace.worktree)
    taken = take(host, base, workspace)
    one = taken.beside["refs/heads/feature/x"]
    with host.candidates.received_whole(base, taken.bundle, "x", 1) as (git_dir, _):
        content = bundle_of(host.git, git_dir, base.commit, one.ref, one.commit)
    (tmp_path / "one.bundle").write_bytes(content)
    git(tmp_path, "clone", "--quiet", "--bare", str(base.mirror), "there")
    git(tmp_path / "there", "fetch", "--quiet", str(base.mirror), base.commit)
    git(tmp_path / "there", "fetch", "--quiet", "../one.bundle", f"{one.ref}:refs/heads/got")
    assert git(tmp_path / "there", "show", "got:work") == "work"


def test_damaged_commits_are_named_and_harm_nothing_else(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    _branch(tree)
    blob = git(tree, "rev-parse", "feature/x:work")
    path = tree / f".git/objects/{blob[:2]}/{blob[2:]}"
    path.chmod(0o644)
    path.write_bytes(b"")
    git(tree, "switch", "--quiet", "-c", "whole")
    (tree / "sound").write_text("sound")
    git(tree, "add", "sound")
    git(tree, "commit", "--quiet", "-m", "sound")
    git(tree, "switch", "--quiet", "agent/a1")
    (tree / "new").touch()
    (tree / ".git/refs/heads/bad").write_text("no id\n")
    (tree / ".git/refs/heads/away").write_text("1" * 40 + "\n")
    taken = take(host, base, workspace)
    assert set(taken.changed()) == {"new"}
    assert set(taken.beside) == {"refs/heads/whole"}
    left = " ".join(path for paths in taken.left_out().values() for path in paths)
    assert {"refs/heads/feature/x", "refs/heads/bad", "refs/heads/away"} <= {
        word.strip("()") for word in left.split()
    }


def test_commits_that_fsck_refuses_are_kept_beside_and_the_change_passes(
    host: Host, base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    blob = git(tree, "hash-object", "-w", "README.md")
    bad = git(tree, "mktree", "--missing", stdin=f"100644 blob {blob}\t.git\n")
    commit = git(tree, "commit-tree", bad, "-p", "HEAD", "-m", "not for everybody")
    git(tree, "update-ref", "HEAD", commit)
    (tree / "new").touch()
    taken = take(host, base, workspace)
    assert "new" in taken.changed()
    assert any(one.commit == commit for one in taken.beside.values())


def test_more_than_the_limit_is_named_and_the_tree_goes_first(
    base: Base, workspace: Workspace
) -> None:
    tree = workspace.worktree
    git(tree, "switch", "--quiet", "-c", "large")
    (tree / "large").write_bytes(bytes(range(256)) * 8 + os.urandom(200_000))
    git(tree, "add", "-A")
    git(tree, "commit", "--quiet", "-m", "large")
    git(tree, "switch", "--quiet", "agent/a1")
    (tree / "new").touch()
    command = capture_command(workspace, base, limit_bytes=100_000)
    ended = subprocess.run(command.argv, env={**command.env, "PATH": "/usr/bin:/bin"}, check=True,
                           capture_output=True)  # fmt: skip
    bundle = read_bundle(workspace, 100_000)
    report = read_report(ended.stdout)
    assert not read_heads(bundle).beside
    assert any("refs/heads/large" in one.paths for one in report.left_out)
    assert not report.retained


@pytest.mark.parametrize("error", [ChangeRefused, ChangeTooLarge])
def test_a_change_that_is_refused_lies_where_the_next_round_can_look_into_it(
    host: Host, base: Base, workspace: Workspace, error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (workspace.worktree / "new").touch()
    bundle = take(host, base, workspace).bundle
    if error is ChangeTooLarge:
        monkeypatch.setattr("orchestrator.workspace.bundle.UNPACKED_LIMIT_BYTES", 1)
    else:
        bundle = bundle[:-30]
    again = host.workspaces.create(base, "a2", change=bundle, may_be_refused=True)
    assert (again.tmp / EARLIER).read_bytes() == bundle
    assert not (again.worktree / "new").exists()


def test_nothing_anywhere_is_nothing(workspace: Workspace, base: Base) -> None:
    git(workspace.worktree, "switch", "--quiet", "-c", "other")
    git(workspace.worktree, "commit", "--quiet", "--allow-empty", "-m", "busy")
    ended = capture(workspace, base)
    assert isinstance(explain(ended.exit_code, ended.stderr), ChangeEmpty)


@pytest.mark.parametrize(
    "name",
    ["refs/heads/x", "stash@{0}", "HEAD@{3}", "a..b", ".x", "x.lock", "x/", "//", "ü", "%41", "a b",
     "worktrees/x y/uncommitted", "-", "~^:?*[\\", "x" * 200],
)  # fmt: skip
def test_every_name_travels_as_a_ref(tmp_path: Path, name: str) -> None:
    ref = ref_of("branch", name)
    git(tmp_path, "check-ref-format", ref)
    assert read_ref(ref) == ("branch", name)
