"""A mirror after a power failure, which empties files that were not written durably."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.mirror_repair import repair

from .conftest import Host, Upstream, git

#: What is damaged → its pattern in a mirror.
PLACES = {
    "HEAD": "HEAD",
    "the configuration": "config",
    "a ref": "refs/branches/*",
    "packed refs": "packed-refs",
    "a loose object": "objects/[0-9a-f][0-9a-f]/*",
    "a pack": "objects/pack/*.pack",
    "an index": "objects/pack/*.idx",
}


def started_again(host: Host) -> Mirrors:
    """Return the mirrors as a new process on the same host sees them."""
    return Mirrors(host.settings, host.git)


@pytest.fixture
def base(host: Host, upstream: Upstream, tmp_path: Path) -> Base:
    """A commit whose mirror has packs, loose objects, packed refs and loose refs."""
    first = host.mirrors.refresh(upstream.url, "main")
    git(first.mirror, "repack", "--quiet", "-d")
    git(first.mirror, "pack-refs", "--all")
    upstream.commit("main", second="2\n")
    second = host.mirrors.refresh(upstream.url, "main")
    newest = max(first.mirror.glob("objects/pack/*.pack"), key=lambda path: path.stat().st_mtime_ns)
    moved = newest.rename(tmp_path / newest.name)
    newest.with_suffix(".idx").unlink()
    with moved.open("rb") as pack:
        subprocess.run(["git", "unpack-objects", "-q"], cwd=first.mirror, stdin=pack, check=True)
    return second


@pytest.mark.parametrize("content", [b"", b"\0" * 64], ids=["empty", "zeros"])
@pytest.mark.parametrize("place", PLACES)
def test_a_damaged_mirror_gives_every_file_again(
    place: str, content: bytes, host: Host, upstream: Upstream, base: Base
) -> None:
    """An empty HEAD failed each later agent of a repository, until a person removed it."""
    damaged = [*base.mirror.glob(PLACES[place])]
    assert damaged
    for path in damaged:
        path.chmod(0o600)
        path.write_bytes(content)
    mirrors = started_again(host)

    assert mirrors.refresh(upstream.url, "main") == base

    git(base.mirror, "fsck", "--full", "--strict")
    assert mirrors.read(base, "second") == b"2\n"
    assert mirrors.paths(base) == {".gitignore", "README.md", "second"}
    assert not repair(base.mirror)


def test_a_commit_that_is_needed_again_is_fetched_again(
    host: Host, upstream: Upstream, base: Base
) -> None:
    """The gates of an agent begin with the commit of its state, not with the tip of a branch."""
    for path in base.mirror.glob(PLACES["a loose object"]):
        path.chmod(0o600)
        path.write_bytes(b"")
    mirrors = started_again(host)

    assert mirrors.at(upstream.url, "main", base.commit) == base
    assert mirrors.read(base, "second") == b"2\n"


def test_workspaces_that_borrow_objects_of_a_repaired_mirror_have_them_again(
    host: Host, upstream: Upstream, base: Base
) -> None:
    workspace = host.workspaces.create(base, "a" * 8)
    (base.mirror / "HEAD").write_bytes(b"")

    started_again(host).refresh(upstream.url, "main")

    git(workspace.worktree, "fsck", "--full")
    assert git(workspace.worktree, "status", "--porcelain") == ""


def test_a_sound_mirror_keeps_all_and_needs_no_remote(
    host: Host, upstream: Upstream, base: Base
) -> None:
    (base.mirror / "first-fetch").touch()
    (base.mirror / "HEAD.lock").touch()
    files = {path: path.stat().st_mtime_ns for path in base.mirror.rglob("*")}
    git(upstream.path, "branch", "-m", "main", "gone")

    assert started_again(host).at(upstream.url, "main", base.commit) == base
    assert {path: path.stat().st_mtime_ns for path in base.mirror.rglob("*")} == files


def test_a_mirror_that_another_process_holds_or_no_disk_takes_is_read_as_it_is(
    host: Host, upstream: Upstream, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_given: object, **_more: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("orchestrator.workspace.mirror.locked", refused)

    assert started_again(host).at(upstream.url, "main", base.commit) == base
