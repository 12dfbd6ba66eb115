"""Links, swapped folders and closed files of an agent lead nowhere and lose nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.workspace.change import read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.attacks.conftest import (
    ANOTHER_USER,
    LIMIT_BYTES,
    captured,
    delivered,
    files_of,
    give_to_another_user,
    naive,
    sandboxed_capture,
)
from tests.unit.workspace.conftest import Host, Upstream, git


def test_a_link_shows_a_private_file_to_a_naive_reader_and_only_its_target_to_ours(
    host: Host, upstream: Upstream, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.write_text("private")
    (workspace.worktree / "README.md").unlink()
    (workspace.worktree / "README.md").symlink_to(private)
    assert (workspace.worktree / "README.md").read_text() == "private"
    bundle = captured(host, base, workspace)
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        (change,) = host.candidates.contents(candidate, base)
        assert change.after == str(private).encode()
    commit = delivered(host, upstream, base, bundle)
    assert files_of(upstream.path, commit)["README.md"] == str(private)


def test_a_folder_swapped_for_a_link_is_written_through_naively_and_not_by_ours(
    host: Host, upstream: Upstream, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (upstream.clone / "docs").mkdir()
    (upstream.clone / "docs/index").write_text("x")
    upstream.commit()
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    shutil.rmtree(workspace.worktree / "docs")
    (workspace.worktree / "docs").symlink_to(outside)
    (workspace.worktree / "docs/index").write_text("naive")
    assert (outside / "index").read_text() == "naive"
    (outside / "index").unlink()
    delivered(host, upstream, base, captured(host, base, workspace))
    assert not list(outside.iterdir())


def test_a_repository_swapped_for_another_s_is_committed_to_naively_and_not_by_ours(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "operators")
    operators = tmp_path / "operators"
    git(operators, "commit", "--quiet", "--allow-empty", "-m", "the operator's")
    shutil.rmtree(workspace.worktree / ".git")
    (workspace.worktree / ".git").symlink_to(operators / ".git")
    (workspace.worktree / "new").touch()
    naive(workspace.worktree, "add", "-A")
    naive(workspace.worktree, "commit", "--quiet", "-m", "the agent's")
    assert git(operators, "log", "-1", "--format=%s") == "the agent's"
    before = git(operators, "for-each-ref") + (operators / ".git/index").read_bytes().hex()
    captured(host, base, workspace)
    assert git(operators, "for-each-ref") + (operators / ".git/index").read_bytes().hex() == before
    host.workspaces.remove("a1")
    git(operators, "fsck", "--strict")


@pytest.mark.parametrize("closed", ["docs/own", "docs", ".", ".git", ".git/objects"])
def test_what_the_agent_made_unreadable_is_lost_naively_and_kept_by_ours(
    host: Host, upstream: Upstream, closed: str
) -> None:
    """Of a closed folder a naive `git add` even says that all went well."""
    (upstream.clone / "docs").mkdir()
    (upstream.clone / "docs/index").write_text("x")
    upstream.commit()
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    (workspace.worktree / "docs/own").write_text("own")
    give_to_another_user(workspace)
    (workspace.worktree / closed).chmod(0)
    call = (*ANOTHER_USER, "sh", "-c", "cd tree && git add -A && git ls-files")
    env = {"PATH": os.environ["PATH"], "HOME": str(workspace.home)}
    staged = subprocess.run(call, cwd=workspace.root, env=env, check=False, capture_output=True)
    assert b"docs/own" not in staged.stdout
    ended = sandboxed_capture(host, base, workspace, *ANOTHER_USER)
    assert ended.exit_code == 0, ended.stderr
    commit = delivered(host, upstream, base, read_bundle(workspace, LIMIT_BYTES))
    assert not workspace.root.exists()
    assert set(files_of(upstream.path, commit)) == {
        *(".gitignore", "README.md", "docs/index", "docs/own")
    }
