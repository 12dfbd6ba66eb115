"""A workspace: at its commit, on its branch, from a whole spare or fresh, and gone when removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.errors import DiskFull, GitFailed, RequestInvalid
from orchestrator.workspace.checkout_refs import NO_PUSH
from orchestrator.workspace.clone import Workspaces
from orchestrator.workspace.disk import remove_tree
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

from .conftest import NOBODY, Host, Upstream, git


def _check(workspace: Workspace, base: Base) -> None:
    tree = workspace.worktree
    assert git(tree, "rev-parse", "HEAD") == base.commit
    assert git(tree, "symbolic-ref", "HEAD") == f"refs/heads/agent/{workspace.root.name}"
    assert not git(tree, "status", "--porcelain", "--ignored")
    assert git(tree, "remote", "get-url", "--push", "origin") == NO_PUSH
    refs = git(tree, "for-each-ref", "--format=%(refname)", "refs/tags", "refs/remotes").split()
    assert refs == ["refs/remotes/origin/HEAD", "refs/remotes/origin/main"]
    git(tree, "commit", "--quiet", "--allow-empty", "-m", "the agent can commit")
    assert workspace.home.is_dir()
    assert workspace.tmp.is_dir()


def test_a_fresh_workspace(workspace: Workspace, base: Base) -> None:
    _check(workspace, base)
    assert git(workspace.worktree, "config", "--get", "user.email")
    assert git(workspace.worktree, "config", "--default", "", "core.worktree") == ""
    assert workspace.root.stat().st_mode & 0o777 == 0o700


def test_a_spare_is_taken_once_and_only_for_its_commit(
    host: Host, base: Base, upstream: Upstream
) -> None:
    host.workspaces.prepare_spare(base)
    (spare,) = (host.settings.workspaces_dir / ".spare" / base.mirror.stem).iterdir()
    inode = spare.stat().st_ino
    upstream.commit(new="x")
    newer = host.mirrors.refresh(upstream.url, "main")
    other = host.workspaces.create(newer, "a-newer")
    _check(other, newer)
    assert spare.exists()
    taken = host.workspaces.create(base, "a-spare")
    assert taken.root.stat().st_ino == inode
    _check(taken, base)
    _check(host.workspaces.create(base, "a-fresh"), base)


def test_a_half_made_or_older_spare_is_never_taken_and_goes(
    host: Host, base: Base, upstream: Upstream
) -> None:
    host.workspaces.prepare_spare(base)
    folder = host.settings.workspaces_dir / ".spare" / base.mirror.stem
    (folder / "making" / "tree").mkdir(parents=True)
    upstream.commit(new="x")
    newer = host.mirrors.refresh(upstream.url, "main")
    _check(host.workspaces.create(newer, "a1"), newer)
    host.workspaces.prepare_spare(newer)
    (spare,) = folder.iterdir()
    assert spare.name.startswith(newer.commit)


def test_a_spare_of_another_process_is_never_taken_and_goes(host: Host, base: Base) -> None:
    """A power failure, or a disk that failed, ended that process and emptied a file."""
    host.workspaces.prepare_spare(base)
    folder = host.settings.workspaces_dir / ".spare" / base.mirror.stem
    (spare,) = folder.iterdir()
    (spare / "tree" / ".git" / "config").write_bytes(b"")
    started_again = Workspaces(host.settings, host.git)

    _check(started_again.create(base, "a1"), base)
    started_again.prepare_spare(base)
    assert not spare.exists()
    assert len([*folder.iterdir()]) == 1


def test_a_spare_that_cannot_be_made_fails_nobody(host: Host, base: Base) -> None:
    host.workspaces.prepare_spare(Base(base.mirror, "1" * 40))
    assert not list((host.settings.workspaces_dir / ".spare" / base.mirror.stem).iterdir())


def test_a_lost_attempt_s_workspace_is_replaced(host: Host, base: Base) -> None:
    left = host.workspaces.create(base, "a1")
    (left.worktree / "left").touch()
    _check(host.workspaces.create(base, "a1"), base)


def test_a_failed_creation_leaves_nothing(host: Host, base: Base) -> None:
    with pytest.raises(GitFailed):
        host.workspaces.create(Base(base.mirror, "1" * 40), "a1")
    assert not (host.settings.workspaces_dir / "a1").exists()


@pytest.mark.parametrize("spare", [False, True])
def test_a_full_disk(
    make_host: Callable[..., Host], upstream: Upstream, small_disk: Path, *, spare: bool
) -> None:
    host = make_host(ORCHESTRATOR_WORKSPACES=str(small_disk))
    upstream.commit(big="x" * 2**21)
    base = host.mirrors.refresh(upstream.url, "main")
    if spare:
        host.workspaces.prepare_spare(base)
    with pytest.raises(DiskFull):
        host.workspaces.create(base, "a1")
    assert host.workspaces.free_bytes() > 2**19


@pytest.mark.parametrize("agent_id", ["", "..", "../x", "a/b", ".spare", "-x", "a.b", "x\n"])
def test_an_id_that_is_no_name_is_refused(host: Host, base: Base, agent_id: str) -> None:
    with pytest.raises(RequestInvalid):
        host.workspaces.create(base, agent_id)
    with pytest.raises(RequestInvalid):
        host.workspaces.remove(agent_id)


def test_removal_measures_and_can_be_repeated(host: Host, workspace: Workspace) -> None:
    (workspace.worktree / "big").write_bytes(os.urandom(2**20))
    assert host.workspaces.remove("a1") >= 2**20
    assert not workspace.root.exists()
    assert host.workspaces.remove("a1") == 0


def test_removal_never_follows_a_link(host: Host, workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (outside / "kept").touch()
    (workspace.worktree / "link").symlink_to(outside)
    workspace.home.rmdir()
    workspace.home.symlink_to(outside)
    host.workspaces.remove("a1")
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o500


def test_removal_of_a_linked_root_removes_the_link(
    host: Host, workspace: Workspace, tmp_path: Path
) -> None:
    moved = workspace.root.rename(tmp_path / "moved")
    workspace.root.symlink_to(moved)
    host.workspaces.remove("a1")
    assert not workspace.root.is_symlink()
    assert (moved / "tree").is_dir()


def test_removal_opens_what_was_closed_and_no_depth_is_too_deep() -> None:
    """As another user, because root may read everything; so not below pytest's private folder."""
    with TemporaryDirectory() as shared:
        Path(shared).chmod(0o777)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            os.close(reader)
            _prepare_and_remove(Path(shared) / "tree", writer)
        os.close(writer)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as answers:
            assert answers.read() == b"gone"


def _prepare_and_remove(tree: Path, answers: int) -> None:
    answer = "nothing"
    try:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        tree.mkdir()
        for name in ("a", "b"):
            (tree / "closed" / name).mkdir(parents=True)
            (tree / "closed" / name / "file").touch()
            (tree / "closed" / name).chmod(0)
        (tree / "closed").chmod(0)
        (tree / "no-write").mkdir()
        (tree / "no-write" / "file").touch()
        (tree / "no-write").chmod(0o500)
        os.chdir(tree)
        for _ in range(3000):
            os.mkdir("deep")  # noqa: PTH102 - relative on purpose: the path is too long
            os.chdir("deep")
        os.chdir("/")
        remove_tree(tree)
        answer = "there" if tree.exists() else "gone"
    except BaseException as error:  # noqa: BLE001 - a forked test tells and leaves
        answer = repr(error)
    os.write(answers, answer.encode())
    os._exit(0)
