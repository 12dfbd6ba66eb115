"""The receiving side: a change taken in and checked on any host, and made the one commit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator.errors import ChangeEmpty, ChangeRefused, DiskFull, GitFailed, GitTimedOut
from orchestrator.settings import Settings
from orchestrator.workspace.clone import borrow_objects, check_agent_id, materialise
from orchestrator.workspace.difference import GITLINK, changed_files
from orchestrator.workspace.disk import naming_full_disk, remove_tree
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base

# gitformat-bundle, version 2: prerequisites, the one ref, an empty line, then the pack.
_HEADER = re.compile(
    rb"# v2 git bundle\n(?:-[0-9a-f]{40}[^\n]*\n)*([0-9a-f]{40}) refs/orchestrator/change\n\n"
)


@dataclass(frozen=True)
class Candidate:
    """A checked change in a bare repository of ours, which the agent never reaches."""

    git_dir: Path
    commit: str
    tree: str


class Candidates:
    """The changes this host judges and delivers, under `candidates/` of its home."""

    def __init__(self, settings: Settings, git: Git) -> None:
        self._folder = settings.home / "candidates"
        self._git = git

    @contextmanager
    def received(
        self, base: Base, bundle: bytes, agent_id: str, attempt: int
    ) -> Iterator[Candidate]:
        """Take a bundle in, beside a mirror that has its base; on leaving, drop it again.

        Raises:
            ChangeRefused: it is no bundle of a change, fsck finds fault, or it adds submodules.
            ChangeEmpty: its tree is the base's.
            DiskFull: there is no room for it.
            GitFailed: the base is not in the mirror.
        """
        git_dir = self._folder / f"{check_agent_id(agent_id)}.{attempt}.git"
        remove_tree(git_dir)
        try:
            with naming_full_disk(self._folder):
                git_dir.mkdir(parents=True)
                candidate = self._receive(git_dir, base, bundle)
            yield candidate
        finally:
            remove_tree(git_dir)

    @contextmanager
    def checked_out(self, candidate: Candidate) -> Iterator[Path]:
        """Check the candidate out for its gates, in a folder of its own; on leaving, remove it.

        What runs there makes it hostile: no git of ours runs in it afterwards.

        Raises:
            DiskFull: there is no room for it.
            GitFailed: git could not check it out.
        """
        folder = candidate.git_dir.with_suffix(".checkout")
        remove_tree(folder)
        try:
            with naming_full_disk(self._folder):
                folder.mkdir(mode=0o700)
                checkout = folder / "tree"
                source = candidate.git_dir
                materialise(self._git, checkout, source=source, commit=candidate.commit)
            yield checkout
        finally:
            remove_tree(folder)

    def commit(self, candidate: Candidate, base: Base, *, message: str, instant: datetime) -> str:
        """Make the one commit that leaves: the candidate's tree on the base; returns its id.

        The same inputs give the same id, on any host. The agent's own commits stay here.
        """
        date = f"@{int(instant.timestamp())} +0000"
        commit = self._git.run(
            *("commit-tree", candidate.tree, "-p", base.commit, "-F", "-"),
            git_dir=candidate.git_dir,
            env={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
            stdin=message.encode(),
        )
        return commit.decode().strip()

    def _receive(self, git_dir: Path, base: Base, bundle: bytes) -> Candidate:
        self._git.run("init", "--quiet", "--bare", "--template=", git_dir=git_dir)
        borrow_objects(git_dir, base.mirror)
        base_tree = self._tree(git_dir, base.commit)
        header = _HEADER.match(bundle)
        if header is None:
            msg = "The agent's change is not a git bundle of one change."
            raise ChangeRefused(msg)
        commit = header[1].decode()
        try:
            # Not `git fetch`: from a bundle it heeds fsckObjects only since git 2.46.
            self._git.run(
                *("index-pack", "--stdin", "--fix-thin", "--strict"),
                git_dir=git_dir,
                stdin=bundle[header.end() :],
            )
            tree = self._tree(git_dir, commit)
        except (GitTimedOut, DiskFull):
            raise
        except GitFailed as error:
            raise ChangeRefused(error.detail) from error
        if tree == base_tree:
            raise ChangeEmpty
        for file in changed_files(self._git, git_dir, base.commit, commit):
            if file.mode == GITLINK:
                msg = f"The agent's change adds a nested repository or submodule at {file.path}."
                raise ChangeRefused(msg)
        return Candidate(git_dir, commit, tree)

    def _tree(self, git_dir: Path, commit: str) -> str:
        revision = f"{commit}^{{commit}}^{{tree}}"
        return self._git.run("rev-parse", "--verify", revision, git_dir=git_dir).decode().strip()
