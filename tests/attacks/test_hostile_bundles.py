"""A bundle that is forged, or brings more than a change, is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.attacks.conftest import (
    captured,
    naive,
)
from tests.attacks.objects import REF, assert_refused, fetch_change
from tests.unit.workspace.conftest import Host, git


def _split(bundle: bytes) -> tuple[list[bytes], bytes]:
    header, _, pack = bundle.partition(b"\n\n")
    return header.split(b"\n"), pack


def _no_bundle(bundle: bytes, base: Base) -> bytes:
    return b"PK\x03\x04" + bundle


def _second_ref(bundle: bytes, base: Base) -> bytes:
    lines, pack = _split(bundle)
    return b"\n".join([*lines, f"{base.commit} refs/heads/main".encode()]) + b"\n\n" + pack


def _another_ref(bundle: bytes, base: Base) -> bytes:
    return bundle.replace(REF.encode(), b"refs/heads/main", 1)


def _partial(bundle: bytes, base: Base) -> bytes:
    return bundle.replace(b"# v2 git bundle\n", b"# v3 git bundle\n@filter=blob:none\n", 1)


def _empty_pack(bundle: bytes, base: Base) -> bytes:
    lines, pack = _split(bundle)
    return b"\n".join(lines) + b"\n\n" + pack[:8] + bytes(4) + pack[-20:]


def _wrong_sum(bundle: bytes, base: Base) -> bytes:
    return bundle[:-1] + bytes([bundle[-1] ^ 1])


def _too_many_said(bundle: bytes, base: Base) -> bytes:
    lines, pack = _split(bundle)
    return b"\n".join(lines) + b"\n\n" + pack[:8] + b"\xff" * 4 + pack[12:]


def _option_as_tip(bundle: bytes, base: Base) -> bytes:
    lines, pack = _split(bundle)
    return b"\n".join([*lines[:-1], b"--output=x " + REF.encode()]) + b"\n\n" + pack


@pytest.mark.parametrize(
    "forge",
    [
        *(_no_bundle, _second_ref, _another_ref, _partial, _empty_pack, _wrong_sum),
        *(_too_many_said, _option_as_tip),
    ],
)
def test_a_forged_bundle_is_refused(
    host: Host, base: Base, workspace: Workspace, forge: Callable[[bytes, Base], bytes]
) -> None:
    (workspace.worktree / "new").write_text("x")
    assert_refused(host, base, forge(captured(host, base, workspace), base))


def test_more_refs_than_the_change_come_in_naively_and_never_into_ours(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path
) -> None:
    tree = workspace.worktree
    (tree / "new").write_text("x")
    own = captured(host, base, workspace)
    fetch_change(workspace)
    git(tree, "update-ref", "refs/heads/main", REF)
    git(tree, "bundle", "create", "--quiet", "../two", REF, "refs/heads/main", f"^{base.commit}")
    git(tmp_path, "clone", "--quiet", "--bare", str(base.mirror), "victim.git")
    naive(tmp_path / "victim.git", "fetch", str(tree.parent / "two"), "+refs/*:refs/*")
    planted = git(tree, "rev-parse", "refs/heads/main")
    assert git(tmp_path / "victim.git", "rev-parse", "refs/heads/main") == planted
    assert_refused(host, base, (tree.parent / "two").read_bytes(), "not a git bundle of one change")
    with host.candidates.received(base, own, "a1", 1) as candidate:
        assert not git(candidate.git_dir, "for-each-ref")


@pytest.mark.parametrize("kind", ["tag", "tree", "blob"])
def test_a_tip_that_is_no_commit_comes_in_naively_and_is_refused_by_ours(
    host: Host, base: Base, workspace: Workspace, tmp_path: Path, kind: str
) -> None:
    tree = workspace.worktree
    (tree / "new").write_text("x")
    captured(host, base, workspace)
    fetch_change(workspace)
    if kind == "tag":
        git(tree, "tag", "-a", "-m", "x", "tagged", REF)
    oid = git(
        tree, "rev-parse", {"tag": "tagged", "tree": f"{REF}^{{tree}}", "blob": f"{REF}:new"}[kind]
    )
    git(tree, "update-ref", REF, oid)
    git(tree, "bundle", "create", "--quiet", "../hostile", REF, f"^{base.commit}")
    git(tmp_path, "clone", "--quiet", "--bare", str(base.mirror), "victim.git")
    naive(tmp_path / "victim.git", "fetch", str(tree.parent / "hostile"), f"{REF}:{REF}")
    assert git(tmp_path / "victim.git", "cat-file", "-t", REF) == kind
    assert_refused(host, base, (tree.parent / "hostile").read_bytes())
