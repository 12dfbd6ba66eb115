"""The tags of a repository in its mirror: those of commits that the mirror has."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import CredentialsUnavailable, DiskFull, GitFailed, GitTimedOut
from orchestrator.git_names import is_ref_name
from orchestrator.log import get_logger
from orchestrator.workspace.git import Git, showable

#: A repository with more tags gets none, so that no listing is without a bound.
MOST_TAGS = 20_000
_PEELED = "^{}"
_PREFIX = "refs/tags/"

log = get_logger("tags")


def update_tags(git: Git, mirror: Path, repository: str, *, lock: int) -> None:
    """Make the mirror's tags those of the remote, as far as the mirror has their commits.

    The caller holds the lock of the mirror, whose descriptor is `lock`. A tag of another commit is
    not fetched, because its history would come with it. A tag that moved or was removed on the
    remote does so here.

    Raises:
        GitTimedOut: the remote did not respond in time.
        CredentialsUnavailable: the remote needs a token, and none is available.
        DiskFull: the disk is full.
    """
    try:
        _update(git, mirror, repository, lock)
    except (GitTimedOut, CredentialsUnavailable, DiskFull):
        raise
    except GitFailed as error:
        # A tag that fsck refuses must not make the branch unusable.
        log.warning("tags not updated", repository=showable(repository), error=error.detail)


def packed_tags(git: Git, mirror: Path, commit: str) -> dict[str, str]:
    """Return the object of each tag of the commit's history, by full ref name.

    Raises:
        GitFailed: the mirror does not contain the commit.
    """
    asked = ("for-each-ref", f"--merged={commit}", "--format=%(objectname) %(refname)", _PREFIX)
    lines = git.run(*asked, git_dir=mirror).decode(errors="replace").splitlines()
    return {name: oid for oid, _, name in (line.partition(" ") for line in lines)}


def _update(git: Git, mirror: Path, repository: str, lock: int) -> None:
    listing = git.run(
        "ls-remote", "--tags", "--", repository, git_dir=mirror, remote=repository, keep_fds=(lock,)
    )
    lines = [line.partition("\t") for line in listing.decode(errors="replace").splitlines()]
    listed = {name: oid for oid, _, name in lines if name.startswith(_PREFIX)}
    objects = {
        name: oid
        for name, oid in listed.items()
        if not name.endswith(_PEELED) and is_ref_name(name)
    }
    if len(objects) > MOST_TAGS:
        log.warning("too many tags", repository=showable(repository), tags=len(objects))
        return
    present = _present(git, mirror)
    changes = [f"delete {name}\n" for name in sorted(present.keys() - objects.keys())]
    moved = {name: oid for name, oid in objects.items() if present.get(name) != oid}
    commits = {name: listed.get(f"{name}{_PEELED}", oid) for name, oid in moved.items()}
    held = _held(git, mirror, {*moved.values(), *commits.values()})
    wanted = [name for name in sorted(moved) if held.get(commits[name]) == "commit"]
    changes += [f"update {name} {moved[name]}\n" for name in wanted if moved[name] in held]
    if changes:
        git.run("update-ref", "--stdin", git_dir=mirror, stdin="".join(changes).encode())
    missing = [name for name in wanted if moved[name] not in held]
    if missing:
        refspecs = "".join(f"+{name}:{name}\n" for name in missing)
        git.run(
            *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--stdin"),
            *("--", repository),
            git_dir=mirror,
            stdin=refspecs.encode(),
            keep_fds=(lock,),
            remote=repository,
        )


def _present(git: Git, mirror: Path) -> dict[str, str]:
    asked = ("for-each-ref", "--format=%(objectname) %(refname)", _PREFIX)
    lines = git.run(*asked, git_dir=mirror).decode(errors="replace").splitlines()
    return {name: oid for oid, _, name in (line.partition(" ") for line in lines)}


def _held(git: Git, mirror: Path, objects: set[str]) -> dict[str, str]:
    """Return the type of each of these objects that the mirror has."""
    if not objects:
        return {}
    asked = "".join(f"{oid}\n" for oid in sorted(objects)).encode()
    shape = "--batch-check=%(objectname) %(objecttype)"
    lines = git.run("cat-file", shape, git_dir=mirror, stdin=asked).decode().splitlines()
    pairs = (line.split(" ") for line in lines)
    return {oid: kind for oid, kind in pairs if kind != "missing"}
