"""Bundles of changes, and the files that arrive from them."""

from __future__ import annotations

from orchestrator.workspace.change import read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.unit.workspace.conftest import Host, capture, git

LIMIT = 2**20


def bundle_of_change(workspace: Workspace, base: Base) -> bytes:
    ended = capture(workspace, base)
    assert ended.exit_code == 0, ended.stderr
    return read_bundle(workspace, LIMIT)


def bundle_of_head(workspace: Workspace, since: str) -> bytes:
    """Return a bundle that no capture of ours makes."""
    git(workspace.worktree, "update-ref", "refs/orchestrator/change", "HEAD")
    made = ("bundle", "create", "--quiet", "../made", "refs/orchestrator/change", f"^{since}")
    git(workspace.worktree, *made)
    return (workspace.root / "made").read_bytes()


def files_received(host: Host, base: Base, bundle: bytes) -> dict[str, str]:
    """Return the files of the change as another process finds them."""
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        listing = git(candidate.git_dir, "ls-tree", "-r", "--name-only", candidate.tree)
        return {
            path: git(candidate.git_dir, "cat-file", "blob", f"{candidate.tree}:{path}")
            for path in listing.splitlines()
        }
