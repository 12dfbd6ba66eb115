"""A repository that an agent made is none to fetch from or push to: its hooks would be ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import RepositoryUnavailable
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace
from tests.attacks.conftest import Traps, naive
from tests.unit.workspace.conftest import Host, Upstream, git


@pytest.fixture(params=["home", "tree", "gates"])
def planted(
    request: pytest.FixtureRequest, host: Host, upstream: Upstream, workspace: Workspace,
    traps: Traps,
) -> Path:  # fmt: skip
    """A bare repository with a trap for a hook, where programs of agents write."""
    checkout = host.settings.home / "candidates" / "a1.0" / "tree"
    folder = {"home": workspace.home, "tree": workspace.worktree, "gates": checkout}[request.param]
    folder.mkdir(parents=True, exist_ok=True)
    repository = folder / "evil.git"
    git(folder, "clone", "--quiet", "--bare", upstream.url, str(repository))
    Path(traps.program("receive")).rename(repository / "hooks" / "pre-receive")
    return repository


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_push_into_an_agents_folder_runs_its_hook_naively_and_ours_refuses(
    host: Host, upstream: Upstream, base: Base, planted: Path, traps: Traps, prefix: str
) -> None:
    naive(upstream.clone, "-c", "core.hooksPath=/dev/null", "push", str(planted), "main:refs/x")
    assert traps.sprung() == {"receive"}
    traps.reset()
    address = f"{prefix}{planted}"
    for act in (
        lambda: host.remote.push(base.mirror, address, base.commit, "a1"),
        lambda: host.remote.find(base.mirror, address, "a1"),
        lambda: host.mirrors.refresh(address, "main"),
    ):
        with pytest.raises(RepositoryUnavailable, match="no place for a repository"):
            act()
    assert not traps.sprung()


def test_a_link_to_it_does_not_hide_where_it_lies(
    host: Host, planted: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(planted.parent)
    with pytest.raises(RepositoryUnavailable, match="no place for a repository"):
        host.mirrors.refresh(f"{tmp_path}/link/{planted.name}", "main")


def test_where_folders_are_named_no_other_repository_of_the_host_is_read(
    make_host: Callable[..., Host], upstream: Upstream, tmp_path: Path
) -> None:
    """Who may spawn may not take a copy of whatever the worker can read."""
    beside = tmp_path / "beside"
    host = make_host(ORCHESTRATOR_LOCAL_REPOSITORIES=f"{beside}:/srv/git")
    with pytest.raises(RepositoryUnavailable, match="no place for a repository"):
        host.mirrors.refresh(upstream.url, "main")
    host = make_host(ORCHESTRATOR_LOCAL_REPOSITORIES=f"{beside}:{upstream.path.parent}")
    assert host.mirrors.refresh(upstream.url, "main").commit
