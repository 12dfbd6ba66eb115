"""Reads the agent's own repository, as far as possible: its HEAD and its index."""

from __future__ import annotations

import os

from .git import GitError, Repository
from .job import Report, shown
from .refs import read_head, unfinished
from .repositories import find_git_dir, unread_format
from .staged import Index, read_index


class AgentsRepository:
    """The state of the agent's repository, beside its commits; a damaged one gives few facts."""

    def __init__(self, worktree: bytes, theirs: Repository, base: bytes, report: Report) -> None:
        self._theirs = theirs
        self._base = base
        self._report = report
        self.git_dir = find_git_dir(worktree)
        self.head: bytes | None = None
        #: Paths that the agent has added to its index, even if a pattern ignores them.
        self.wanted: set[bytes] = set()
        #: The staged entries that differ from the base.
        self.index = Index()
        self._sparse: set[bytes] | None = None
        self._index = os.path.join(self.git_dir, b"index") if self.git_dir else b""
        self._is_index_damaged = False
        if self.git_dir is None:
            report.leave(".git", "repository that is gone, with the commits in it")
            return
        if unread := unread_format(self.git_dir):
            report.leave(".git", f"repository in the format {unread}: its commits")
        self.head = read_head(self.git_dir)
        if self.head not in (None, base):
            self._read_head()
        self._read_index()
        report.unfinished += unfinished(self.git_dir)
        paths = dict.fromkeys(shown(path) for path, _ in self.index.unmerged)
        report.unfinished += [f"{path} is unmerged" for path in paths]

    def is_sparse(self, path: bytes) -> bool:
        """Return whether a file is absent only because of a sparse checkout."""
        if self._sparse is None:
            self._sparse = self._read_sparse()
        if self._is_index_damaged:
            # Then sparse files cannot be distinguished from removed ones.
            return os.path.exists(os.path.join(self.git_dir or b"", b"info/sparse-checkout"))
        return path in self._sparse

    def _read_head(self) -> None:
        added = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=A")
        try:
            listed = self._theirs.run(*added, self._base, self.head or b"")
        except GitError:
            self.head = None  # its commit is reported where it is tried again
        else:
            self.wanted.update(listed.split(b"\0")[:-1])

    def _read_index(self) -> None:
        if self.git_dir is None or not os.path.exists(self._index):
            return
        try:
            self.index = read_index(self._theirs, self._index, self._base)
        except (GitError, OSError):
            # What was only staged is reported where that is retained.
            self._is_index_damaged = True
        self.wanted |= self.index.added | {path for path, _ in self.index.unmerged}

    def _read_sparse(self) -> set[bytes]:
        if not self._index or self._is_index_damaged or not os.path.exists(self._index):
            return set()
        try:
            listed = self._theirs.run("ls-files", "-t", "-z", env={b"GIT_INDEX_FILE": self._index})
        except GitError:
            self._is_index_damaged = True
            return set()
        # `<tag> <path>`.
        return {line[2:] for line in listed.split(b"\0") if line[:1] == b"S"}
