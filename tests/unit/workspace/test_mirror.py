"""A mirror: only the branch asked for, safe under concurrency and kills, typed about bad input."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import (
    BranchUnknown,
    DiskFull,
    GitFailed,
    GitKilled,
    RepositoryEmpty,
    RepositoryUnavailable,
)
from orchestrator.workspace.disk import locked
from orchestrator.workspace.mirror import FILE_LIMIT_BYTES, Base

from .conftest import Host, Upstream, git


def test_refresh_gives_the_tip_and_follows_a_rewritten_branch(
    host: Host, upstream: Upstream
) -> None:
    first = host.mirrors.refresh(upstream.url, "main")
    assert first.commit == git(upstream.clone, "rev-parse", "HEAD")
    git(upstream.clone, "checkout", "--quiet", "--orphan", "again")
    rewritten = upstream.commit("main", other="x")
    assert host.mirrors.refresh(upstream.url, "main") == Base(first.mirror, rewritten)
    assert host.mirrors.read(first, "README.md") == b"hello\n", "an old base must stay readable"
    # An empty path is none: git refuses to read it.
    assert host.mirrors.paths(first) == {".gitignore", "README.md"}


def test_a_base_this_host_holds_needs_no_remote_any_more(
    host: Host, upstream: Upstream, base: Base
) -> None:
    git(upstream.path, "branch", "-m", "main", "gone")
    assert host.mirrors.at(upstream.url, "main", base.commit) == base


def test_a_base_this_host_lacks_is_fetched_or_said_to_be_gone(
    host: Host, upstream: Upstream
) -> None:
    first = git(upstream.clone, "rev-parse", "HEAD")
    assert host.mirrors.at(upstream.url, "main", first).commit == first
    with pytest.raises(GitFailed, match="no longer leads to"):
        host.mirrors.at(upstream.url, "main", "1" * 40)


def test_only_the_branch_asked_for_travels(host: Host, upstream: Upstream, base: Base) -> None:
    other = upstream.commit("other", secret="x")
    host.mirrors.refresh(upstream.url, "main")
    assert host.git.attempt("cat-file", "-e", other, git_dir=base.mirror).exit_code != 0


def test_a_branch_in_the_way_of_a_newer_one_is_no_obstacle(host: Host, upstream: Upstream) -> None:
    upstream.commit("topic")
    host.mirrors.refresh(upstream.url, "topic")
    git(upstream.clone, "push", "--quiet", "origin", ":topic")
    git(upstream.clone, "checkout", "--quiet", "--detach")
    git(upstream.clone, "branch", "-D", "topic")
    deeper = upstream.commit("topic/deeper")
    assert host.mirrors.refresh(upstream.url, "topic/deeper").commit == deeper


@pytest.mark.parametrize("lock", ["config.lock", "packed-refs.lock", "shallow.lock", "{ref}.lock"])
def test_a_lock_left_by_a_killed_fetch_is_recovered(
    host: Host, upstream: Upstream, base: Base, lock: str
) -> None:
    ref = next((base.mirror / "refs/branches").iterdir())
    (base.mirror / lock.format(ref=ref)).touch()
    moved = upstream.commit(new="x")
    assert host.mirrors.refresh(upstream.url, "main").commit == moved


def test_a_fetch_that_outlives_its_killed_worker_keeps_the_lock(
    make_host: Callable[..., Host], hanging_ssh: tuple[str, Path]
) -> None:
    """Else the next worker would remove the lock files of a git that still writes."""
    path, pipe = hanging_ssh
    host = make_host(PATH=path)
    worker = os.fork()
    if worker == 0:
        host.mirrors.refresh("ssh://example.invalid/x", "main")
    # Opens only once git's ssh runs, for which the worker holds the lock.
    with pipe.open("wb"):
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        (lock,) = (host.settings.home / "mirrors").glob("*.lock")
        with pytest.raises(BlockingIOError), locked(lock):
            pass
    with locked(lock, wait_s=60):
        pass


def test_a_repository_that_is_not_there(host: Host, tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnavailable, match=r"/nowhere.* does not (exist|appear)"):
        host.mirrors.refresh(str(tmp_path / "nowhere"), "main")


def test_an_unknown_branch(host: Host, upstream: Upstream) -> None:
    with pytest.raises(BranchUnknown, match="has no branch nosuch"):
        host.mirrors.refresh(upstream.url, "nosuch")


def test_an_empty_repository(host: Host, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    with pytest.raises(RepositoryEmpty):
        host.mirrors.refresh(str(tmp_path / "empty.git"), "main")


def test_credentials_in_an_address_do_not_show(host: Host) -> None:
    with pytest.raises(RepositoryUnavailable) as caught:
        host.mirrors.refresh("https://me:s3cret@127.0.0.1:1/x.git", "main")
    assert "s3cret" not in str(caught.value)
    assert "https://127.0.0.1:1/x.git" in str(caught.value)


def test_a_full_disk(make_host: Callable[..., Host], upstream: Upstream, small_disk: Path) -> None:
    host = make_host(ORCHESTRATOR_HOME=str(small_disk))
    (upstream.clone / "big").write_bytes(os.urandom(2 * 2**20))
    upstream.commit()
    with pytest.raises(DiskFull):
        host.mirrors.refresh(upstream.url, "main")


def test_reading_files_of_a_commit(host: Host, upstream: Upstream) -> None:
    (upstream.clone / "link").symlink_to("/etc/passwd")
    (upstream.clone / "folder").mkdir()
    (upstream.clone / "folder/file").write_bytes(b"\0\xff")
    upstream.commit(large="x" * (FILE_LIMIT_BYTES + 1))
    base = host.mirrors.refresh(upstream.url, "main")
    assert host.mirrors.read(base, "folder/file") == b"\0\xff"
    impossible = ("", ".", "..", "/folder/file", "../folder/file", "folder//file", "folder/", "a\0")
    for absent in ("nosuch", "folder", "folder/file/x", "link", "f*", ":/README.md", *impossible):
        assert host.mirrors.read(base, absent) is None
    with pytest.raises(GitFailed, match="large of the base commit has"):
        host.mirrors.read(base, "large")
    with pytest.raises(GitFailed, match="not in this host's mirror"):
        host.mirrors.read(Base(base.mirror, "1" * 40), "README.md")


@pytest.mark.parametrize("command", ["ls-tree", "cat-file blob", "cat-file -e"])
def test_a_git_that_is_killed_as_it_reads_stands_for_nothing(
    make_host: Callable[..., Host], upstream: Upstream, tmp_path: Path, command: str
) -> None:
    programs = tmp_path / "killed"
    programs.mkdir()
    (programs / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *"{command}"*) kill -9 $$ ;; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    (programs / "git").chmod(0o755)
    host = make_host(PATH=f"{programs}:{os.environ['PATH']}")
    base = host.mirrors.refresh(upstream.url, "main")
    with pytest.raises(GitKilled):
        host.mirrors.read(host.mirrors.at(upstream.url, "main", base.commit), "README.md")


def test_a_shallow_clone_is_told_and_never_taken_for_what_it_was_before(
    host: Host, upstream: Upstream, tmp_path: Path
) -> None:
    """Git says so in a warning only, ends with 0 and leaves the branch as it was."""
    upstream.commit(more="1\n")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--no-local", f"file://{upstream.path}", str(shallow))
    host.mirrors.refresh(str(shallow), "main")
    upstream.commit(more="2\n")
    git(shallow, "fetch", "-q", "--depth", "1", "origin", "main")
    git(shallow, "reset", "-q", "--hard", "FETCH_HEAD")
    with pytest.raises(RepositoryUnavailable, match=r"shallow clone.*--unshallow"):
        host.mirrors.refresh(str(shallow), "main")


def test_a_repository_with_other_object_names_is_told(host: Host, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "-b", "main", "wide")
    wide = tmp_path / "wide"
    git(wide, "commit", "-q", "--allow-empty", "-m", "one")
    with pytest.raises(RepositoryUnavailable, match=r"SHA-256 object names.*SHA-1"):
        host.mirrors.refresh(str(wide), "main")
