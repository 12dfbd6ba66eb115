"""What a checkout knows of its repository beside the files: tags, and the remote `origin`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.tags import packed_tags

PACKED = "packed-refs"
#: A push of an agent ends here with an error of git that names this path.
NO_PUSH = "/dev/null/the-orchestrator-pushes-an-approved-change"
#: The address of a repository of this machine's disk is not told to agents.
_HIDDEN = "/dev/null"
_HEAD = "# pack-refs with: sorted \n"
_LOCAL = re.compile(r"^(?:file://)?/")


def read_packed(git_dir: Path) -> dict[str, str]:
    """Return the packed refs that `write_packed` wrote: the object by full ref name."""
    try:
        lines = (git_dir / PACKED).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition(" ") for line in lines if not line.startswith(("#", "^")))
    return {name: oid for oid, _, name in pairs}


def write_packed(git_dir: Path, refs: Mapping[str, str]) -> None:
    """Add refs to the packed refs of a new repository; they replace those of the same name.

    As files, the names of two refs could exclude each other, or be too long.
    """
    known = {**read_packed(git_dir), **refs}
    # git searches the file by the bytes of the names.
    lines = (f"{known[name]} {name}\n" for name in sorted(known, key=str.encode))
    (git_dir / PACKED).write_text(_HEAD + "".join(lines), encoding="utf-8")


def origin_refs(base: Base) -> dict[str, str]:
    """Return the remote-tracking branch of a base; empty if its branch is unknown."""
    return {f"refs/remotes/origin/{base.branch}": base.commit} if base.branch else {}


def write_origin(git_dir: Path, base: Base) -> None:
    """Give a checkout the remote `origin`, without a credential and without a way to push.

    `origin/<branch>` and `origin/HEAD` are the base commit.
    """
    if not base.branch:
        return
    write_packed(git_dir, origin_refs(base))
    head = git_dir / "refs" / "remotes" / "origin" / "HEAD"
    head.parent.mkdir(parents=True, exist_ok=True)
    head.write_text(f"ref: refs/remotes/origin/{base.branch}\n", encoding="utf-8")
    with (git_dir / "config").open("a", encoding="utf-8") as config:
        config.write(
            '[remote "origin"]\n'
            f"\turl = {_quoted(shown_address(base.repository))}\n"
            f"\tpushurl = {NO_PUSH}\n"
            "\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
        )


def write_refs(git: Git, git_dir: Path, base: Base) -> None:
    """Give the checkout of a base the tags of its history and the remote `origin`.

    The version of a package may come from them.

    Raises:
        GitFailed: the mirror does not contain the commit.
    """
    write_packed(git_dir, packed_tags(git, base.mirror, base.commit))
    write_origin(git_dir, base)


def shown_address(repository: str) -> str:
    """Return the address of a repository for a checkout; of a local one only the name."""
    if not _LOCAL.match(repository):
        return repository
    name = repository.rstrip("/").rpartition("/")[2]
    return f"{_HIDDEN}/{name}"


def _quoted(value: str) -> str:
    """Return a value for a configuration file of git."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
