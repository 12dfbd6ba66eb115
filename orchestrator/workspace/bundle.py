"""What an agent left, taken out of its bundle into a repository of ours and checked by fsck."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ChangeEmpty, ChangeRefused, DiskFull, GitFailed, GitTimedOut
from orchestrator.workspace.difference import GITLINK, changed_files
from orchestrator.workspace.git import Git

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
        DiskFull: there is no room for it.
        GitFailed: the base is not there.
    """
    base_tree = _tree(git, git_dir, base_commit)
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
        tree = _tree(git, git_dir, commit)
    except (GitTimedOut, DiskFull):
        raise
    except GitFailed as error:
        raise ChangeRefused(error.detail) from error
    if tree == base_tree:
        raise ChangeEmpty
    for file in changed_files(git, git_dir, base_commit, commit):
        if file.mode == GITLINK:
            msg = f"The agent's change adds a nested repository or submodule at {file.path}."
            raise ChangeRefused(msg)
    return Received(commit, tree)


def _tree(git: Git, git_dir: Path, commit: str) -> str:
    revision = f"{commit}^{{commit}}^{{tree}}"
    return git.run("rev-parse", "--verify", revision, git_dir=git_dir).decode().strip()
