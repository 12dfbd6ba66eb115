"""Submodules: relative addresses, contents where the operator allows them, and never an agent's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import RepositoryUnavailable
from orchestrator.gates.base_records import BaseRecords
from orchestrator.gates.planning import Planning
from orchestrator.models import SpawnRequest
from orchestrator.wiring.host import detectors
from orchestrator.workspace.change import read_bundle
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.submodules import Submodules, resolve_address

from .conftest import Host, Upstream, capture, git


@pytest.mark.parametrize(
    ("address", "repository", "resolved"),
    [
        ("../lib.git", "https://example.org/a/b.git", "https://example.org/a/lib.git"),
        ("../../c/lib.git", "https://example.org/a/b.git", "https://example.org/c/lib.git"),
        ("../lib.git", "ssh://git@example.org:22/a/b", "ssh://git@example.org:22/a/lib.git"),
        ("../lib.git", "git@example.org:a/b.git", "git@example.org:a/lib.git"),
        ("../../lib.git", "git@example.org:a/b.git", "git@example.org:lib.git"),
        ("../lib.git", "git@example.org:/srv/b.git", "git@example.org:/srv/lib.git"),
        ("../lib.git", "/srv/git/b.git/", "/srv/git/lib.git"),
        ("./lib.git", "/srv/git/b.git", "/srv/git/b.git/lib.git"),
        ("../../../x", "https://example.org/a", ""),
        ("https://other.org/x", "https://example.org/a/b.git", "https://other.org/x"),
    ],
)
def test_an_address_is_resolved_as_git_does_it(
    address: str, repository: str, resolved: str
) -> None:
    assert resolve_address(address, repository) == resolved


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    """A repository with two commits and a submodule of its own, beside the upstream."""
    for name in ("deep", "lib"):
        git(tmp_path, "init", "--quiet", "--bare", "-b", "main", f"{name}.git")
        git(tmp_path, "clone", "--quiet", f"{name}.git", name)
        (tmp_path / name / f"{name}.txt").write_text(name)
        if name == "lib":
            _pin(
                tmp_path / "lib", "deep", "../deep.git", git(tmp_path / "deep", "rev-parse", "HEAD")
            )
        git(tmp_path / name, "add", "-A")
        git(tmp_path / name, "commit", "--quiet", "-m", "one")
        git(tmp_path / name, "push", "--quiet", "origin", "HEAD:main")
    return tmp_path / "lib"


def _pin(clone: Path, path: str, address: str, commit: str) -> None:
    (clone / ".gitmodules").write_text(
        f'[submodule "a name"]\n\tpath = {path}\n\turl = {address}\n'
    )
    (clone / path).mkdir(exist_ok=True)
    git(clone, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")


def _base(host: Host, upstream: Upstream, lib: Path, address: str = "../lib.git") -> Base:
    _pin(upstream.clone, "vendor", address, git(lib, "rev-parse", "HEAD"))
    git(upstream.clone, "add", ".gitmodules")
    git(upstream.clone, "commit", "--quiet", "-m", "pin")
    git(upstream.clone, "push", "--quiet", "origin", "main")
    return host.mirrors.refresh(upstream.url, "main")


@pytest.fixture
def with_content(make_host: Callable[..., Host]) -> Host:
    """A host that lets agents see submodules of its own disk."""
    return make_host("with", ORCHESTRATOR_SUBMODULES="same-host")


def test_contents_reach_agents_spares_and_gates(
    with_content: Host, upstream: Upstream, lib: Path
) -> None:
    host = with_content
    base = _base(host, upstream, lib)
    host.workspaces.prepare_spare(base)
    for agent_id in ("a1", "a2"):
        tree = host.workspaces.create(base, agent_id).worktree
        assert (tree / "vendor/lib.txt").read_text() == "lib"
        assert (tree / "vendor/deep/deep.txt").read_text() == "deep"
        assert git(tree, "status", "--porcelain") == ""
        assert not (tree / "vendor/.git/objects/info/alternates").exists()
    (tree / "new").write_text("x")
    bundle = _captured(host, base, "a2")
    with (
        host.candidates.received(base, bundle, "a2", 1) as candidate,
        host.candidates.checked_out(candidate, "tests") as checkout,
    ):
        assert (checkout / "vendor/deep/deep.txt").read_text() == "deep"


def _captured(host: Host, base: Base, agent_id: str) -> bytes:
    workspace, _ = host.workspaces.left(agent_id) or pytest.fail("no workspace")
    ended = capture(workspace, base)
    assert ended.exit_code == 0, ended.stderr
    return read_bundle(workspace, 2**20)


def _plan_names(host: Host, base: Base) -> dict[str, str]:
    settings = host.settings
    planning = Planning(
        host.mirrors,
        detectors(settings),
        settings,
        Submodules(settings, host.git),
        BaseRecords(settings, "shim"),
    )
    request = SpawnRequest.model_validate(
        {
            "taskId": "t",
            "agentType": "worker",
            "gateProfile": "minimal",
            "context": {"repository": base.repository, "branch": "main", "workItems": ["x"]},
        }
    )
    return {entry.path: entry.reason for entry in planning.plan(request, base).not_judged}


def test_without_the_permission_nothing_is_fetched_and_the_absence_is_named(
    host: Host, upstream: Upstream, lib: Path
) -> None:
    base = _base(host, upstream, lib)
    tree = host.workspaces.create(base, "a1").worktree
    assert list((tree / "vendor").iterdir()) == []
    assert len(list((host.settings.home / "mirrors").glob("*.git"))) == 1
    assert "ORCHESTRATOR_SUBMODULES" in _plan_names(host, base)["vendor"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("https://elsewhere.invalid/x.git", "on another host"),
        ("ext::sh -c x", "none that may be fetched"),
        ("https://me:secret@elsewhere.invalid/x.git", "none that may be fetched"),
    ],
)
def test_an_address_that_is_not_allowed_is_named_and_not_contacted(
    with_content: Host, upstream: Upstream, lib: Path, address: str, reason: str
) -> None:
    base = _base(with_content, upstream, lib, address)
    tree = with_content.workspaces.create(base, "a1").worktree
    assert list((tree / "vendor").iterdir()) == []
    told = _plan_names(with_content, base)["vendor"]
    assert reason in told
    assert "secret" not in told


def test_a_submodule_that_cannot_be_fetched_ends_the_start_and_says_which(
    with_content: Host, upstream: Upstream, lib: Path
) -> None:
    base = _base(with_content, upstream, lib, "../absent.git")
    with pytest.raises(RepositoryUnavailable, match="submodule vendor cannot be fetched"):
        with_content.workspaces.create(base, "a1")


def test_a_pin_moves_to_a_commit_of_the_remote_and_to_no_other(
    with_content: Host, upstream: Upstream, lib: Path
) -> None:
    host = with_content
    base = _base(host, upstream, lib)
    vendor = host.workspaces.create(base, "a1").worktree / "vendor"
    (vendor / "lib.txt").write_text("moved")
    git(vendor, "commit", "--quiet", "-am", "two")
    moved = git(vendor, "rev-parse", "HEAD")
    bundle = _captured(host, base, "a1")
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        (missing,) = host.candidates.missing_pins(candidate, base)
        assert (missing.path, missing.commit) == ("vendor", moved)
    git(lib, "fetch", "--quiet", str(vendor), "HEAD:two")
    git(lib, "push", "--quiet", "origin", "two")
    with host.candidates.received(base, bundle, "a1", 1) as candidate:
        assert host.candidates.missing_pins(candidate, base) == ()
        (change,) = host.candidates.contents(candidate, base)
        assert change.after == f"Subproject commit {moved}\n".encode() != change.before
        variant = host.candidates.variant(candidate, base, lambda path: path == "vendor")
        with host.candidates.checked_out(candidate, "mixed", commit=variant) as checkout:
            assert (checkout / "vendor/lib.txt").read_text() == "lib"
        with host.candidates.checked_out(candidate, "tests") as checkout:
            assert (checkout / "vendor/lib.txt").read_text() == "moved"
    again = host.workspaces.create(base, "a3", change=bundle).worktree
    assert (again / "vendor/lib.txt").read_text() == "moved"


def test_an_agent_does_not_choose_an_address(
    with_content: Host, upstream: Upstream, lib: Path
) -> None:
    host = with_content
    base = _base(host, upstream, lib)
    tree = host.workspaces.create(base, "a1").worktree
    text = (tree / ".gitmodules").read_text()
    (tree / ".gitmodules").write_text(text.replace("../lib.git", "../deep.git"))
    bundle = _captured(host, base, "a1")
    before = set((host.settings.home / "mirrors").iterdir())
    with (
        host.candidates.received(base, bundle, "a1", 1) as candidate,
        host.candidates.checked_out(candidate, "tests") as checkout,
    ):
        assert (checkout / "vendor/lib.txt").read_text() == "lib"
    assert set((host.settings.home / "mirrors").iterdir()) == before
