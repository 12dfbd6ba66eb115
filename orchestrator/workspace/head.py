"""The newest commit of a user's checkout as a candidate, for gates on clean copies of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.settings import Settings
from orchestrator.workspace.change import Candidate
from orchestrator.workspace.checkout_refs import write_packed
from orchestrator.workspace.disk import naming_full_disk, remove_tree
from orchestrator.workspace.git import Git, showable
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.tags import packed_tags
from orchestrator.workspace.worktree import borrow_objects


@contextmanager
def head_candidate(
    settings: Settings, git: Git, git_dir: Path, commit: str, *, origin: str, branch: str
) -> Iterator[Candidate]:
    """Yield a commit of a user's repository as a candidate that changes nothing.

    `git_dir` contains the objects of the repository, which is only read. Uncommitted work is not
    part of the candidate, as it is not part of what an agent starts from.

    Raises:
        DiskFull: the disk is full.
        GitFailed: git cannot read the commit.
    """
    folder = settings.home / "candidates"
    bare = folder / f"init-{uuid.uuid4().hex}.git"
    try:
        with naming_full_disk(folder):
            bare.mkdir(parents=True)
            git.run("init", "--quiet", "--bare", "--template=", git_dir=bare)
            borrow_objects(bare, git_dir)
            write_packed(bare, packed_tags(git, git_dir, commit))
            found = git.run("rev-parse", f"{commit}^{{tree}}", git_dir=bare)
        # The address of a user's remote may contain a login.
        base = Base(git_dir, commit, showable(origin), branch)
        yield Candidate(bare, commit, found.decode().strip(), base)
    finally:
        remove_tree(bare)
