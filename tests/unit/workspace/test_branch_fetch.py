"""A first fetch that is too large for its time arrives all the same, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.errors import BranchUnknown, GitTimedOut, RepositoryUnavailable
from orchestrator.workspace.branch_fetch import UNFINISHED
from orchestrator.workspace.mirror import Base
from tests.doubles.git_http import GitServer, git_server

from .conftest import NOBODY, Host, Upstream, git

COMMITS, SIZE = 24, 60_000
RATE = 400_000
LOGIN = "someone:token"


@pytest.fixture
def large(upstream: Upstream) -> Upstream:
    """A history whose every commit has other random bytes."""
    for _ in range(COMMITS):
        upstream.commit(data=secrets.token_hex(SIZE // 2 * 2))
    return upstream


@pytest.fixture
def server(large: Upstream) -> Iterator[GitServer]:
    """A server of it that sends slowly."""
    with git_server(large.path.parent, login=LOGIN) as served:
        served.bytes_per_s = RATE
        yield served


@pytest.fixture
def slow_host(make_host: Callable[..., Host], server: GitServer) -> Host:
    """A host whose git has less time than the whole history takes."""
    return make_host(
        ORCHESTRATOR_GIT_TIMEOUT="2500ms",
        GIT_TOKEN="token",
        GIT_USERNAME="someone",
        GIT_TOKEN_HOSTS=f"127.0.0.1:{server.port}",
    )


def _address(server: GitServer, upstream: Upstream) -> str:
    return f"{server.url}/{upstream.path.name}"


def _mirror(host: Host) -> Path:
    return next((host.settings.home / "mirrors").glob("*.git"))


def _partial(host: Host) -> list[Path]:
    objects = _mirror(host) / "objects"
    packs = [pack for pack in objects.glob("pack/*.pack") if not pack.with_suffix(".idx").exists()]
    return [*packs, *objects.rglob("tmp_*")]


def test_a_history_too_large_for_the_time_limit_arrives_in_steps(
    slow_host: Host, server: GitServer, large: Upstream
) -> None:
    base = slow_host.mirrors.refresh(_address(server, large), "main")
    assert base.commit == git(large.path, "rev-parse", "main")
    tree = slow_host.workspaces.create(base, "a1").worktree
    assert git(tree, "rev-list", "--count", "HEAD") == str(COMMITS + 1)
    assert git(tree, "fsck", "--full") == ""
    assert not (base.mirror / "shallow").exists()
    assert not (base.mirror / UNFINISHED).exists()
    assert _partial(slow_host) == []


def test_a_fetch_that_ends_leaves_no_pack_and_its_steps_are_kept(
    slow_host: Host, server: GitServer, large: Upstream
) -> None:
    address = _address(server, large)
    server.bytes_per_s = 10_000
    with pytest.raises(GitTimedOut):
        slow_host.mirrors.refresh(address, "main")
    assert _partial(slow_host) == []
    # Another host killed it after the first step.
    git(_mirror(slow_host), "fetch", "-q", "--depth=1", str(large.path), f"main:{_ref()}")
    server.bytes_per_s = RATE * 10
    base = slow_host.mirrors.refresh(address, "main")
    assert git(base.mirror, "rev-list", "--count", base.commit) == str(COMMITS + 1)
    # More than one where the machine is busy and a step of the fetch runs out of time.
    packs = base.mirror.glob("objects/pack/*.idx")
    packed = "\n".join(git(base.mirror, "verify-pack", "-v", str(index)) for index in packs)
    assert git(base.mirror, "rev-parse", f"{base.commit}~1:data") in packed
    newest = git(base.mirror, "rev-parse", f"{base.commit}:data")
    assert newest not in packed, "the newest commit came a second time"


def _ref() -> str:
    return f"refs/branches/{hashlib.sha256(b'main').hexdigest()}"


@pytest.mark.parametrize(
    "name", ["pack/tmp_pack_abc", "pack/.tmp-1-pack-x.pack", "aa/tmp_obj_x", "pack/pack-1.pack"]
)
def test_what_an_ended_git_left_is_removed(
    host: Host, upstream: Upstream, base: Base, name: str
) -> None:
    left = base.mirror / "objects" / name
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half")
    host.mirrors.refresh(upstream.url, "main")
    assert not left.exists()


def test_two_branches_of_an_unfinished_mirror_both_get_their_history(
    host: Host, upstream: Upstream
) -> None:
    for number in range(5):
        upstream.commit("main", file=str(number))
    upstream.commit("other", more="x")
    mirror = host.mirrors._mirror(upstream.url)
    mirror.parent.mkdir(parents=True, exist_ok=True)
    git(mirror.parent, "init", "-q", "--bare", mirror.name)
    (mirror / UNFINISHED).touch()
    git(mirror, "fetch", "-q", "--depth=1", f"file://{upstream.path}", f"main:{_ref()}")
    other = host.mirrors.refresh(upstream.url, "other")
    assert git(mirror, "rev-list", "--count", other.commit) == "7"
    main = host.mirrors.refresh(upstream.url, "main")
    assert git(mirror, "rev-list", "--count", main.commit) == "6"


def test_a_shallow_remote_is_named_also_in_steps(host: Host, upstream: Upstream) -> None:
    upstream.commit(more="x")
    shallow = upstream.path.with_name("shallow.git")
    git(
        upstream.path, "clone", "-q", "--bare", "--depth=1", f"file://{upstream.path}", str(shallow)
    )
    with pytest.raises(RepositoryUnavailable, match="shallow clone"):
        host.mirrors.refresh(str(shallow), "main")
    with pytest.raises(RepositoryUnavailable, match="shallow clone"):
        host.mirrors.refresh(str(shallow), "main")


def test_a_base_whose_branch_is_deleted_or_rewritten_is_fetched_by_its_id(
    host: Host, make_host: Callable[..., Host], upstream: Upstream
) -> None:
    upstream.commit("topic", topic="x")
    base = host.mirrors.refresh(upstream.url, "topic")
    git(upstream.path, "branch", "-D", "topic")
    other = make_host("other")
    assert other.mirrors.at(upstream.url, "topic", base.commit).commit == base.commit
    with pytest.raises(BranchUnknown):
        other.mirrors.at(upstream.url, "topic", "1" * 40)


def test_a_repository_of_another_user_is_used_if_the_operator_names_its_folder(
    make_host: Callable[..., Host], upstream: Upstream
) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    for path in [upstream.path, *upstream.path.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    with pytest.raises(RepositoryUnavailable, match="another user") as refused:
        make_host("one").mirrors.refresh(upstream.url, "main")
    assert "ORCHESTRATOR_LOCAL_REPOSITORIES" in str(refused.value)
    host = make_host("two", ORCHESTRATOR_LOCAL_REPOSITORIES=str(upstream.path.parent))
    base = host.mirrors.refresh(upstream.url, "main")
    pushed = host.remote.push(base.mirror, upstream.url, base.commit, "a1")
    assert pushed.commit == base.commit
