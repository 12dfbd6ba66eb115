"""The push: creates the agent's branch once, overwrites nothing, and tells refused from failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import PushFailed, PushRefused
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.push import Pushed

from .conftest import Host, Upstream, git


@pytest.fixture
def commit(host: Host, base: Base) -> str:
    """A commit to push, in the mirror (pushed from there as from any repository of ours)."""
    return _commit(host, base, "one")


def _commit(host: Host, base: Base, message: str) -> str:
    tree = f"{base.commit}^{{tree}}"
    made = host.git.run("commit-tree", tree, "-p", base.commit, "-m", message, git_dir=base.mirror)
    return made.decode().strip()


def _hook(upstream: Upstream, name: str, script: str) -> None:
    hook = upstream.path / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


def test_a_push_creates_the_branch_and_can_be_repeated(
    host: Host, upstream: Upstream, base: Base, commit: str
) -> None:
    for _ in range(2):
        pushed = host.remote.push(base.mirror, upstream.url, commit, "a1")
        assert pushed == Pushed("agent/a1", commit)
    assert git(upstream.path, "rev-parse", "refs/heads/agent/a1") == commit
    assert git(upstream.path, "rev-parse", "refs/heads/main") == base.commit


def test_a_branch_with_another_commit_is_never_overwritten(
    host: Host, upstream: Upstream, base: Base, commit: str
) -> None:
    """Not even where it would be a fast-forward."""
    git(upstream.path, "update-ref", "refs/heads/agent/a1", base.commit)
    with pytest.raises(PushRefused, match=f"already holds another commit, {base.commit}"):
        host.remote.push(base.mirror, upstream.url, commit, "a1")
    assert git(upstream.path, "rev-parse", "refs/heads/agent/a1") == base.commit


def test_a_remote_that_declines_is_quoted(
    host: Host, upstream: Upstream, base: Base, commit: str
) -> None:
    _hook(upstream, "pre-receive", "echo 'No agents on Fridays' >&2; exit 1")
    with pytest.raises(PushRefused, match=r"pre-receive hook declined.*No agents on Fridays"):
        host.remote.push(base.mirror, upstream.url, commit, "a1")


def test_a_remote_that_loses_what_it_accepted_is_caught(
    host: Host, upstream: Upstream, base: Base, commit: str
) -> None:
    _hook(upstream, "post-receive", "git update-ref -d refs/heads/agent/a1")
    with pytest.raises(PushFailed, match="does not show the branch"):
        host.remote.push(base.mirror, upstream.url, commit, "a1")


def test_a_remote_that_is_gone(host: Host, base: Base, commit: str, tmp_path: Path) -> None:
    with pytest.raises(PushFailed, match="gone"):
        host.remote.push(base.mirror, str(tmp_path / "gone.git"), commit, "a1")


def test_a_remote_that_hangs(
    make_host: Callable[..., Host], base: Base, commit: str, hanging_ssh: tuple[str, Path]
) -> None:
    host = make_host(PATH=hanging_ssh[0], ORCHESTRATOR_GIT_TIMEOUT="1s")
    with pytest.raises(PushFailed, match="push did not finish within 1 s"):
        host.remote.push(base.mirror, "ssh://example.invalid/x", commit, "a1")


def test_a_remote_that_does_not_let_us_in(
    make_host: Callable[..., Host], base: Base, commit: str, hanging_ssh: tuple[str, Path]
) -> None:
    path, pipe = hanging_ssh
    ssh = pipe.with_name("programs") / "ssh"
    ssh.write_text(
        "#!/bin/sh\necho 'git@example.invalid: Permission denied (publickey).' >&2\nexit 255\n"
    )
    with pytest.raises(PushRefused, match=r"Permission denied \(publickey\)"):
        make_host(PATH=path).remote.push(base.mirror, "ssh://example.invalid/x", commit, "a1")


def test_only_the_commit_that_is_named_gives_way(
    host: Host, upstream: Upstream, base: Base, commit: str
) -> None:
    """Another one stays, even a parent of what is pushed; and none is no name."""
    git(upstream.path, "update-ref", "refs/heads/agent/a1", base.commit)
    for replaces in (_commit(host, base, "stale"), commit, ""):
        with pytest.raises(PushRefused, match="already holds another commit"):
            host.remote.push(base.mirror, upstream.url, commit, "a1", replaces=replaces)
    assert git(upstream.path, "rev-parse", "refs/heads/agent/a1") == base.commit
    pushed = host.remote.push(base.mirror, upstream.url, commit, "a1", replaces=base.commit)
    assert pushed.commit == commit == git(upstream.path, "rev-parse", "refs/heads/agent/a1")


def test_a_ref_whose_name_ends_like_the_branch_is_another(
    host: Host, upstream: Upstream, base: Base, commit: str
) -> None:
    """`git ls-remote` takes a name for the end of one."""
    host.remote.push(base.mirror, upstream.url, commit, "other")
    git(upstream.path, "update-ref", "refs/decoy/refs/heads/agent/a1", commit)
    assert host.remote.find(base.mirror, upstream.url, "a1") == ""
    _hook(upstream, "pre-receive", "exit 1")
    with pytest.raises(PushRefused, match="declined"):
        host.remote.push(base.mirror, upstream.url, commit, "a1")


def test_a_push_that_went_through_and_cannot_be_read_back_is_tried_again(
    host: Host, upstream: Upstream, base: Base, commit: str
) -> None:
    _hook(upstream, "post-receive", 'mv "$PWD" "$PWD.gone"')
    with pytest.raises(PushFailed, match="succeeded but could not be verified"):
        host.remote.push(base.mirror, upstream.url, commit, "a1")
