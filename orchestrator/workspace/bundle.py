"""What an agent left, taken out of its bundle into a repository of ours and checked by fsck."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import (
    ChangeEmpty,
    ChangeRefused,
    ChangeTooLarge,
    DiskFull,
    GitFailed,
    GitTimedOut,
)
from orchestrator.workspace.diff import GITLINK, changed_files
from orchestrator.workspace.git import Git
from orchestrator.workspace.object_sizes import added, extents

#: A few kilobytes of bundle may unpack to any size. What a change adds is read whole by who judges
#: it, several times at once, and checked out for each gate: these bound the memory and the disk.
UNPACKED_LIMIT_BYTES = 2**28
UNPACKED_LIMIT_FILES = 200_000
#: Folders are held in memory to be counted, in which an entry takes five times its bytes; that many
#: files need no more, in many commits either.
FOLDERS_LIMIT_BYTES = 2**25

# gitformat-bundle, version 2: prerequisites, the one ref, an empty line, then the pack.
_HEADER = re.compile(
    rb"# v2 git bundle\n(?:-[0-9a-f]{40}[^\n]*\n)*([0-9a-f]{40}) refs/orchestrator/change\n\n"
)


@dataclass(frozen=True)
class Received:
    """The tip of a change and its tree; the objects are in the repository it was received in."""

    commit: str
    tree: str


def receive(git: Git, git_dir: Path, base_commit: str, bundle: bytes) -> Received:
    """Take the objects of a bundle into a repository that has the base; no ref is written.

    Raises:
        ChangeRefused: it is no bundle of a change, fsck finds fault, or it adds submodules.
        ChangeEmpty: its tree is the base's.
        ChangeTooLarge: it adds more than one of the limits above.
        DiskFull: there is no room for it.
        GitFailed: the base is not there.
    """
    _, base_tree = _peeled(git, git_dir, base_commit)
    header = _HEADER.match(bundle)
    if header is None:
        msg = "The agent's change is not a git bundle of one change."
        raise ChangeRefused(msg)
    commit = header[1].decode()
    try:
        # Not `git fetch`: from a bundle it heeds fsckObjects only since git 2.46.
        git.run(
            *("index-pack", "--stdin", "--fix-thin", "--strict"),
            git_dir=git_dir,
            stdin=bundle[header.end() :],
        )
        peeled, tree = _peeled(git, git_dir, commit)
        new = added(git, git_dir, base_commit, commit)
        if new.size > UNPACKED_LIMIT_BYTES or new.folders > FOLDERS_LIMIT_BYTES:
            # Before any of it is read.
            what = f"{new.size:,} bytes, {new.folders:,} of them folders"
            raise _too_large(what)
        before, after = extents(git, git_dir, (base_tree, tree))
    except (ChangeTooLarge, GitTimedOut, DiskFull):
        raise
    except GitFailed as error:
        raise ChangeRefused(error.detail) from error
    if peeled != commit:
        msg = "The agent's change is a tag and not a commit."
        raise ChangeRefused(msg)
    if tree == base_tree:
        raise ChangeEmpty
    grown_bytes, new_files = after.size - before.size, after.files - before.files
    if grown_bytes > UNPACKED_LIMIT_BYTES or new_files > UNPACKED_LIMIT_FILES:
        what = f"{new_files:,} files and {grown_bytes:,} bytes"
        raise _too_large(what)
    for file in changed_files(git, git_dir, base_commit, commit):
        if file.mode == GITLINK:
            msg = f"The agent's change adds a nested repository or submodule at {file.path}."
            raise ChangeRefused(msg)
    return Received(commit, tree)


def _too_large(what: str) -> ChangeTooLarge:
    msg = f"Unpacked, the agent's change adds {what}."
    action = "Keep build output and data out of it: name them in .gitignore."
    return ChangeTooLarge(msg, action=action)


def _peeled(git: Git, git_dir: Path, commit: str) -> tuple[str, str]:
    """Return the commit this leads to, which is another id if it is a tag, and its tree."""
    revisions = (f"{commit}^{{commit}}", f"{commit}^{{tree}}")
    found = git.run("rev-parse", *revisions, git_dir=git_dir)
    peeled, tree = found.decode().split()
    return peeled, tree
