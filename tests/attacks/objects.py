"""Trees and bundles that git would not write, and the check that they are refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.errors import ChangeRefused
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.unit.workspace.conftest import Host, git

REF = "refs/orchestrator/change"


def tree_of(tree: Path, *entries: tuple[str, str, bytes]) -> str:
    """Write a tree that git would not: mode, object, name."""
    content = b"".join(
        mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, oid, name in entries
    )
    written = subprocess.run(
        ("git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"),
        cwd=tree,
        input=content,
        capture_output=True,
        check=True,
    )
    return written.stdout.decode().strip()


def bundle_of(tree: Path, base: Base, root: str) -> bytes:
    """Return the bundle an agent could write itself, of a commit with this root tree."""
    tip = git(tree, "commit-tree", root, "-p", base.commit, "-m", "x")
    git(tree, "update-ref", REF, tip)
    git(tree, "bundle", "create", "--quiet", "../hostile", REF, f"^{base.commit}")
    return (tree.parent / "hostile").read_bytes()


def fetch_change(workspace: Workspace) -> None:
    """Give the agent's repository what a capture made of it."""
    bundle = workspace.tmp / "change.bundle"
    git(workspace.worktree, "fetch", "--quiet", str(bundle), f"{REF}:{REF}")


def assert_refused(host: Host, base: Base, bundle: bytes, match: str | None = None) -> None:
    """Refused wherever a bundle is taken in, with nothing left behind."""
    with (
        pytest.raises(ChangeRefused, match=match),
        host.candidates.received(base, bundle, "a1", 1),
    ):
        pass
    assert not list((host.settings.home / "candidates").iterdir())
    with pytest.raises(ChangeRefused, match=match):
        host.workspaces.create(base, "a2", change=bundle)
    assert not (host.settings.workspaces_dir / "a2").exists()
