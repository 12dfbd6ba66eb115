"""Addresses and names that are options, commands or other transports run nothing in ours."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import GitFailed, RepositoryUnavailable
from orchestrator.models.identifiers import Branch, Repository
from orchestrator.workspace.mirror import Base
from tests.unit.workspace.conftest import Host, Upstream, git

from .conftest import Traps, WebServer, captured, delivered, naive


def _offer(host: Host, repository: str, branch: str = "main") -> None:
    """Hand both to every call of ours that takes them; all may refuse, none may obey."""
    with contextlib.suppress(GitFailed):
        host.mirrors.refresh(repository, branch)
    with contextlib.suppress(GitFailed):
        host.mirrors.at(repository, branch, "1" * 40)


# ── options ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("call", ["fetch", "pull", "ls-remote", "clone"])
def test_a_repository_that_is_an_option_runs_naively_and_not_in_ours(
    host: Host, upstream: Upstream, base: Base, traps: Traps, call: str
) -> None:
    option = f"--upload-pack={traps.arm('upload-pack')};"
    naive(upstream.clone, call, option, upstream.url)
    assert traps.sprung() == {"upload-pack"}
    traps.reset()
    for repository, branch in ((option, upstream.url), (upstream.url, option)):
        _offer(host, repository, branch)
        with pytest.raises(GitFailed):
            host.remote.push(base.mirror, repository, option, "a1")
    assert not traps.sprung()
    with pytest.raises(ValidationError):
        TypeAdapter(Repository).validate_python(option)
    with pytest.raises(ValidationError):
        TypeAdapter(Branch).validate_python(option)


@pytest.mark.parametrize("option", ["--receive-pack", "--exec"])
def test_a_push_address_that_is_an_option_runs_naively_and_not_in_ours(
    host: Host, upstream: Upstream, base: Base, traps: Traps, option: str
) -> None:
    address = f"{option}={traps.arm('push')};"
    naive(upstream.clone, "push", address, upstream.url)
    assert traps.sprung() == {"push"}
    traps.reset()
    with pytest.raises(GitFailed):
        host.remote.push(base.mirror, address, base.commit, "a1")
    assert not traps.sprung()


def test_a_push_address_that_is_an_option_removes_branches_naively_and_none_in_ours(
    make_host: Callable[..., Host], upstream: Upstream, base: Base, traps: Traps
) -> None:
    """Nor does ours take the next argument for the address, which would be one of ssh."""
    git(upstream.path, "branch", "other", "main")
    naive(upstream.clone, "push", "--mirror", upstream.url)
    assert "other" not in git(upstream.path, "branch")
    git(upstream.path, "branch", "other", "main")
    (traps.folder / "ssh").symlink_to(traps.program("ssh", "exit 1"))
    host = make_host(PATH=f"{traps.folder}:{os.environ['PATH']}")
    with pytest.raises(GitFailed):
        host.remote.push(base.mirror, "--mirror", base.commit, "a1")
    assert not traps.sprung()
    assert "other" in git(upstream.path, "branch")


@pytest.mark.parametrize("name", ["--upload-pack={}", "x;{}", "x|{}", "x$({})", "x`{}`"])
def test_a_branch_name_git_accepts_is_a_command_naively_and_not_in_ours(
    host: Host, upstream: Upstream, traps: Traps, name: str
) -> None:
    """The remote really has it; reached through a script whose path needs no blank."""
    program = traps.program("branch")
    branch = name.format(program)
    ref = f"refs/heads/{branch}"
    assert naive(upstream.path, "check-ref-format", ref).returncode == 0
    git(upstream.path, "update-ref", ref, "main")
    if branch.startswith("-"):
        naive(upstream.clone, "fetch", branch)
    else:
        subprocess.run(
            f"git ls-remote {upstream.url} {branch}", shell=True, check=False, capture_output=True
        )
    assert traps.sprung() == {"branch"}
    traps.reset()
    _offer(host, upstream.url, branch)
    assert not traps.sprung()
    if branch.startswith("-"):
        with pytest.raises(ValidationError):
            TypeAdapter(Branch).validate_python(branch)
    else:
        # No command of ours passes through a shell, so a sign of a shell is only a sign.
        assert TypeAdapter(Branch).validate_python(branch) == branch


@pytest.mark.parametrize("branch", ["main:refs/heads/x", "*", "a b", "x.lock", "@{-1}", "HEAD^"])
def test_a_branch_that_is_a_refspec_or_a_revision_is_refused(
    host: Host, upstream: Upstream, branch: str
) -> None:
    with pytest.raises(GitFailed):
        host.mirrors.refresh(upstream.url, branch)


def test_a_revision_that_is_an_option_writes_a_file_naively_and_not_in_ours(
    host: Host, upstream: Upstream, base: Base, tmp_path: Path
) -> None:
    target = tmp_path / "written"
    option = f"--output={target}"
    naive(upstream.clone, "log", option)
    target.unlink()
    with pytest.raises(GitFailed):
        host.mirrors.at(upstream.url, "main", option)
    hostile = Base(base.mirror, option)
    calls: tuple[Callable[[], object], ...] = (
        lambda: host.mirrors.read(hostile, "README.md"),
        lambda: host.workspaces.create(hostile, "a1"),
        lambda: host.remote.push(base.mirror, upstream.url, option, "a1"),
    )
    for call_of_ours in calls:
        with contextlib.suppress(GitFailed):
            call_of_ours()
    assert not target.exists()


# ── transports ──────────────────────────────────────────────────────────────────────────────


def _ext(tree: Path, command: str) -> str:
    git(tree, "config", "protocol.ext.allow", "always")
    return f"ext::{command}"


def _rewritten(tree: Path, command: str) -> str:
    git(tree, "config", "protocol.ext.allow", "always")
    git(tree, "config", f"url.ext::{command} %S .insteadOf", "https://127.0.0.1:1/")
    return "https://127.0.0.1:1/x"


def _foreign_system(tree: Path, command: str) -> str:
    git(tree, "config", "protocol.ext.allow", "always")
    git(tree, "config", "remote.planted.vcs", "ext")
    git(tree, "config", "remote.planted.url", command)
    return "planted"


def _ssh_command(tree: Path, command: str) -> str:
    git(tree, "config", "core.sshCommand", command)
    return "ssh://example.invalid/x"


@pytest.mark.parametrize("plant", [_ext, _rewritten, _foreign_system, _ssh_command])
def test_a_transport_opened_by_a_repository_s_own_configuration(
    host: Host, upstream: Upstream, base: Base, traps: Traps, plant: Callable[[Path, str], str]
) -> None:
    """Ours never runs there; if it did, its environment would still have the last word."""
    workspace = host.workspaces.create(base, "a1")
    address = plant(workspace.worktree, traps.program("transport", "exit 1"))
    naive(workspace.worktree, "-c", "protocol.allow=never", "fetch", "--", address)
    if plant is not _ssh_command:
        assert traps.sprung() == {"transport"}, "-c protocol.allow=never should not have held"
    traps.reset()
    naive(workspace.worktree, "fetch", "--", address)
    assert traps.sprung() == {"transport"}
    traps.reset()
    git_dir = workspace.worktree / ".git"
    for call in ("fetch", "ls-remote", "push"):
        # An ssh that reaches nothing: no packet may leave, whoever is asked.
        offline = {"GIT_SSH_COMMAND": "false"} if plant is _ssh_command else {}
        ended = host.git.attempt(call, "--", address, git_dir=git_dir, env=offline)
        assert ended.exit_code != 0
    assert "GIT_SSH_COMMAND" in host.git.environment(git_dir)
    (workspace.worktree / "new").touch()
    delivered(host, upstream, base, captured(host, base, workspace))
    assert not traps.sprung()


def test_a_remote_s_upload_pack_in_the_repository_s_configuration(
    host: Host, upstream: Upstream, base: Base, traps: Traps
) -> None:
    workspace = host.workspaces.create(base, "a1")
    git(workspace.worktree, "config", "remote.planted.url", upstream.url)
    git(workspace.worktree, "config", "remote.planted.uploadpack", traps.arm("uploadpack"))
    naive(workspace.worktree, "fetch", "--", "planted")
    assert traps.sprung() == {"uploadpack"}
    traps.reset()
    (workspace.worktree / "new").touch()
    delivered(host, upstream, base, captured(host, base, workspace))
    assert not traps.sprung()


@pytest.mark.parametrize(
    "address",
    [
        "ext::{command}",
        "-u{program}",
        "--upload-pack={program}",
        "fd::17",
        "http://127.0.0.1:1/x",
        "ssh://-oProxyCommand={program}/x",
        "-oProxyCommand={program}:x",
    ],
)
def test_what_is_no_plain_address_runs_nothing(
    host: Host, base: Base, traps: Traps, address: str
) -> None:
    """The last two are what a naive caller of ssh itself would obey."""
    program = traps.program("address")
    address = address.format(program=program, command=program)
    if address.startswith("ext::"):
        naive(base.mirror, "ls-remote", "--", address, GIT_ALLOW_PROTOCOL="ext")
        assert traps.sprung() == {"address"}
    if "-oProxyCommand" in address:
        option = address.removeprefix("ssh://").removesuffix("/x").removesuffix(":x")
        ssh = ("ssh", "-oBatchMode=yes", option, "127.0.0.1", "git-upload-pack 'x'")
        subprocess.run(ssh, check=False, capture_output=True, env={"PATH": os.environ["PATH"]})
        assert traps.sprung() == {"address"}
    traps.reset()
    with pytest.raises(RepositoryUnavailable):
        host.mirrors.refresh(address, "main")
    with pytest.raises(GitFailed):
        host.remote.push(base.mirror, address, base.commit, "a1")
    assert not traps.sprung()


def test_a_submodule_s_address_is_contacted_naively_and_never_by_ours(
    host: Host, upstream: Upstream, web: WebServer, tmp_path: Path
) -> None:
    """Requests to hosts only we can reach: ours never goes into a submodule."""
    (upstream.clone / ".gitmodules").write_text(
        f'[submodule "inner"]\n\tpath = inner\n\turl = {web.url}/inner.git\n\tignore = none\n'
    )
    head = git(upstream.clone, "rev-parse", "HEAD")
    git(upstream.clone, "update-index", "--add", "--cacheinfo", f"160000,{head},inner")
    git(upstream.clone, "commit", "--quiet", "-m", "submodule")
    (upstream.clone / "inner").mkdir()
    upstream.commit()
    naive(tmp_path, "clone", "--quiet", "--recurse-submodules", upstream.url, "victim")
    assert [path for path, _ in web.requests][:1] == [
        "/inner.git/info/refs?service=git-upload-pack"
    ]
    web.requests.clear()
    base = host.mirrors.refresh(upstream.url, "main")
    workspace = host.workspaces.create(base, "a1")
    git(workspace.worktree, "config", "submodule.recurse", "true")
    git(workspace.worktree, "config", "submodule.inner.active", "true")
    (workspace.worktree / "new").touch()
    delivered(host, upstream, base, captured(host, base, workspace))
    assert not web.requests
