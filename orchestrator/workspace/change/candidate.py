"""The candidates of a host: imported and checked changes, from which the one commit is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from orchestrator.interfaces.gate import FileChange
from orchestrator.settings import Settings
from orchestrator.workspace.bundle import Heads, receive, receive_whole
from orchestrator.workspace.change.variant import with_restored
from orchestrator.workspace.checkout_refs import read_packed, write_origin, write_packed
from orchestrator.workspace.clone import check_agent_id
from orchestrator.workspace.conflicts import MergePreview, rebased
from orchestrator.workspace.diff import (
    GITLINK,
    changed_contents,
    changed_files,
    patch,
    summary,
    text_patch,
    whole_patch,
)
from orchestrator.workspace.disk import make_folder_of_trees, naming_full_disk, remove_tree
from orchestrator.workspace.filters import FilterFault, filter_faults
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.new_blobs import NewBlobs, new_blobs
from orchestrator.workspace.submodules import Submodule, Submodules
from orchestrator.workspace.tags import packed_tags
from orchestrator.workspace.worktree import borrow_objects, layers_of, materialise


@dataclass(frozen=True)
class Candidate:
    """A checked change in the orchestrator's own bare repository, which no agent can access."""

    git_dir: Path
    commit: str
    tree: str
    #: The commit from which it starts.
    base: Base | None = field(default=None, compare=False)


class Candidates:
    """The candidates that this host checks and delivers, under `candidates/` of its home."""

    def __init__(self, settings: Settings, git: Git) -> None:
        self._folder = settings.home / "candidates"
        self._stored = frozenset(settings.stored_filters)
        self._has_refs = settings.checkout_refs == "all"
        self._git = git
        self._submodules = Submodules(settings, git)

    @contextmanager
    def received(
        self,
        base: Base,
        bundle: bytes,
        agent_id: str,
        attempt: int,
        *,
        may_be_empty: bool = False,
    ) -> Iterator[Candidate]:
        """Import a bundle beside a mirror that has its base; remove the import at the end.

        Raises:
            ChangeRefused: it is not a bundle of a change, fsck reports a fault, or it adds
                submodules.
            ChangeEmpty: its tree equals the tree of the base, unless the caller allows that.
            DiskFull: the disk is full.
            GitFailed: the mirror does not contain the base.
        """
        with self._repository(base, agent_id, attempt) as git_dir:
            with naming_full_disk(self._folder):
                received = receive(
                    self._git, git_dir, base.commit, bundle, may_be_empty=may_be_empty
                )
                self._write_tags(git_dir, base)
            yield Candidate(git_dir, received.commit, received.tree, base)

    @contextmanager
    def of_base(self, base: Base, agent_id: str, attempt: int) -> Iterator[Candidate]:
        """Yield the untouched base as a candidate, whose tree is named by its commit.

        Raises:
            DiskFull: the disk is full.
        """
        with self._repository(base, agent_id, attempt) as git_dir:
            with naming_full_disk(self._folder):
                self._write_tags(git_dir, base)
            yield Candidate(git_dir, base.commit, base.commit, base)

    def _write_tags(self, git_dir: Path, base: Base) -> None:
        if self._has_refs:
            write_packed(git_dir, packed_tags(self._git, base.mirror, base.commit))

    @contextmanager
    def received_whole(
        self, base: Base, bundle: bytes, agent_id: str, attempt: int
    ) -> Iterator[tuple[Path, Heads]]:
        """Import all objects of a bundle unchecked, for display and download.

        Raises:
            ChangeRefused: it is not a bundle, or it is damaged.
            DiskFull: the disk is full.
        """
        with self._repository(base, agent_id, attempt) as git_dir:
            with naming_full_disk(self._folder):
                heads = receive_whole(self._git, git_dir, bundle)
            yield git_dir, heads

    def remove(self, agent_id: str) -> int:
        """Remove the candidates of an agent that killed workers left; returns the bytes freed.

        Raises:
            GitFailed: some files could not be removed.
        """
        return sum(map(remove_tree, self._folder.glob(f"{check_agent_id(agent_id)}.*")))

    @contextmanager
    def checked_out(
        self, candidate: Candidate, gate: str, *, commit: str | None = None
    ) -> Iterator[Path]:
        """Check the candidate out for one gate, in its own folder, which is removed at the end.

        `commit` is a variant of the candidate, or its base. The files are exactly as their blobs,
        whatever their attributes say. The gate's programs make the folder untrusted: the
        orchestrator runs no git in it afterwards.

        Raises:
            DiskFull: the disk is full.
            GitFailed: git could not check it out.
        """
        folder = candidate.git_dir.with_suffix(f".{gate}")
        remove_tree(folder)
        remove_tree(layers_of(folder))
        try:
            with naming_full_disk(self._folder):
                folder.mkdir(mode=0o700)
                checkout = folder / "tree"
                checked_out = commit or candidate.commit
                materialise(
                    self._git,
                    checkout,
                    source=candidate.git_dir,
                    commit=checked_out,
                    has_attributes=False,
                )
                if candidate.base:
                    self._submodules.lay_out(
                        checkout,
                        checked_out,
                        candidate.base.repository,
                        base_commit=candidate.base.commit,
                    )
                if self._has_refs:
                    write_packed(checkout / ".git", read_packed(candidate.git_dir))
                    if candidate.base:
                        write_origin(checkout / ".git", candidate.base)
            yield checkout
        finally:
            remove_tree(folder)
            remove_tree(layers_of(folder))

    def variant(self, candidate: Candidate, base: Base, is_restored: Callable[[str], bool]) -> str:
        """Return a commit like the candidate's, in which the chosen paths are as in the base.

        Raises:
            DiskFull: the disk is full.
            GitFailed: git cannot write its tree.
        """
        with naming_full_disk(self._folder):
            return with_restored(
                self._git, candidate.git_dir, base.commit, candidate.commit, is_restored
            )

    def commit(
        self,
        candidate: Candidate,
        base: Base,
        *,
        message: str,
        instant: datetime,
        author: str = "",
    ) -> str:
        """Make the one commit of the delivery: the candidate's tree on the base; returns its id.

        `author` (`Name <address>`) is also its committer; the default is that of agents.
        The same inputs give the same id on any host. The agent's own commits are not delivered.
        """
        date = f"@{int(instant.timestamp())} +0000"
        commit = self._git.run(
            *("commit-tree", candidate.tree, "-p", base.commit, "-F", "-"),
            git_dir=candidate.git_dir,
            env={**_identity(author), "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
            stdin=message.encode(),
        )
        return commit.decode().strip()

    def merged(self, candidate: Candidate, base: Base, target: Base) -> MergePreview:
        """Merge the change with the current target branch, in memory.

        Raises:
            GitFailed: git cannot compare them.
        """
        return rebased(self._git, candidate.git_dir, base.commit, candidate.tree, target.commit)

    def moved(self, candidate: Candidate, tree: str, target: Base) -> Candidate:
        """Return the candidate that has this merged tree and the target as its base."""
        commit = self._git.run(
            *("commit-tree", tree, "-p", target.commit, "-m", "rebased"),
            git_dir=candidate.git_dir,
        )
        return Candidate(candidate.git_dir, commit.decode().strip(), tree, target)

    def introduced(self, candidate: Candidate, base: Base) -> Iterator[NewBlobs]:
        """Return every content, path and message that the change adds, commit by commit."""
        return new_blobs(self._git, candidate.git_dir, base.commit, candidate.commit)

    def contents(self, candidate: Candidate, base: Base) -> tuple[FileChange, ...]:
        """Return every changed file with its content in the base and in the change."""
        return changed_contents(self._git, candidate.git_dir, base.commit, candidate.commit)

    def summary(self, candidate: Candidate, base: Base) -> str:
        """Return a summary of the difference: a line for each file, and the sum."""
        return summary(self._git, candidate.git_dir, base.commit, candidate.commit)

    def patch(self, candidate: Candidate, base: Base) -> str:
        """Return the candidate's difference from the base as a patch, cut to PATCH_CHARACTERS."""
        return patch(self._git, candidate.git_dir, base.commit, candidate.commit)

    def text_patch(self, candidate: Candidate, base: Base) -> str:
        """Return the candidate's difference from the base as a patch for readers, uncut."""
        return text_patch(self._git, candidate.git_dir, base.commit, candidate.commit)

    def whole_patch(self, candidate: Candidate, base: Base) -> bytes:
        """Return the candidate's difference from the base as a patch for `git apply`."""
        return whole_patch(self._git, candidate.git_dir, base.commit, candidate.commit)

    def missing_pins(self, candidate: Candidate, base: Base) -> tuple[Submodule, ...]:
        """Return the submodules with contents that the change pins at a commit of no remote."""
        files = changed_files(self._git, candidate.git_dir, base.commit, candidate.commit)
        if not any(file.mode == GITLINK for file in files):
            return ()
        tip = candidate.git_dir, candidate.commit, base.repository
        return tuple(self._submodules.missing_pins(*tip, base_commit=base.commit))

    def filter_faults(self, candidate: Candidate, base: Base) -> tuple[FilterFault, ...]:
        """Return the files of the change that an external filter should have converted."""
        commits = base.commit, candidate.commit
        return filter_faults(self._git, candidate.git_dir, *commits, stored=self._stored)

    @contextmanager
    def _repository(self, base: Base, agent_id: str, attempt: int) -> Iterator[Path]:
        git_dir = self._folder / f"{check_agent_id(agent_id)}.{attempt}.git"
        remove_tree(git_dir)
        try:
            with naming_full_disk(self._folder):
                make_folder_of_trees(self._folder)
                git_dir.mkdir()
                self._git.run("init", "--quiet", "--bare", "--template=", git_dir=git_dir)
                borrow_objects(git_dir, base.mirror)
            yield git_dir
        finally:
            remove_tree(git_dir)


def _identity(author: str) -> dict[str, str]:
    name, _, address = author.rstrip(">").rpartition(" <")
    if not name:
        return {}
    roles = ("AUTHOR", "COMMITTER")
    return {f"GIT_{role}_NAME": name for role in roles} | {
        f"GIT_{role}_EMAIL": address for role in roles
    }
