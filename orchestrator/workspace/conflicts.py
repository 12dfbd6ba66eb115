"""Whether two commits merge, decided by git in a bare repository of the orchestrator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import DiskFull, GitFailed
from orchestrator.models import Conflict
from orchestrator.workspace.disk import reports_unwritable_disk
from orchestrator.workspace.git import Git, cause
from orchestrator.workspace.host_program import Ended

_CLEAN, _CONFLICTED = 0, 1
_UNREADABLE = "git merge-tree: what it prints cannot be read."
_TREE = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\0")
# `CONFLICT (modify/delete)`; also `CONFLICT(directory rename collision)`, without a space.
_CONFLICT_TYPE = re.compile(r"[A-Z]+ ?\((.+)\)")
# The stable type of these is `contents`; only the message, in the C locale, tells them apart.
_CONTENTS_OF = re.compile(r"CONFLICT \((add/add|submodule)\)")


@dataclass(frozen=True)
class MergePreview:
    """The result of a merge: a tree, or None and at least one conflict."""

    tree: str | None
    conflicts: tuple[Conflict, ...] = ()


def find_conflicts(git: Git, git_dir: Path, ours: str, theirs: str) -> MergePreview:
    """Merge two commits in memory and return the tree, or the conflicts.

    `git_dir` must be a bare repository of the orchestrator. Otherwise attributes of the trees and
    merge drivers could hide conflicts and run programs. Only objects are written.

    Raises:
        DiskFull: the disk is full.
        GitFailed: one of them is no commit here, they share no history, or git failed otherwise.
    """
    commits = tuple(_resolve(git, git_dir, revision, "commit") for revision in (ours, theirs))
    asked = ("merge-tree", "--write-tree", "--name-only", "-z", *commits)
    ended = git.attempt(*asked, git_dir=git_dir)
    # Exit code 1 alone is ambiguous: git 2.39 also uses it if it cannot merge at all.
    tree = _TREE.match(ended.stdout)
    if tree is None or ended.exit_code not in (_CLEAN, _CONFLICTED):
        raise _explain(ended)
    if ended.exit_code == _CLEAN:
        return MergePreview(tree[1].decode())
    try:
        conflicts = tuple(_parse(ended.stdout, commits))
    except (ValueError, IndexError) as error:
        raise GitFailed(_UNREADABLE) from error
    if not conflicts:
        # Without a conflict to name, the change would count as one that does not conflict.
        raise GitFailed(_UNREADABLE)
    return MergePreview(None, conflicts)


def rebased(git: Git, git_dir: Path, base: str, tip_tree: str, onto: str) -> MergePreview:
    """Apply the change from commit `base` to `tip_tree` on the commit `onto`.

    The merge base is `base`, whatever the history between them is. Therefore commits that a
    rewritten target removed do not return. Raises the errors of `find_conflicts`.
    """
    parent = _resolve(git, git_dir, base, "commit")
    sides = (_resolve(git, git_dir, revision, "tree") for revision in (onto, tip_tree))
    ours, theirs = (
        git.run("commit-tree", tree, "-p", parent, "-m", "side", git_dir=git_dir).decode().strip()
        for tree in sides
    )
    return find_conflicts(git, git_dir, ours, theirs)


def _resolve(git: Git, git_dir: Path, revision: str, kind: str) -> str:
    found = git.run("rev-parse", "--verify", f"{revision}^{{{kind}}}", git_dir=git_dir)
    return found.decode().strip()


def _parse(stdout: bytes, commits: tuple[str, ...]) -> Iterator[Conflict]:
    # git-merge-tree(1), -z: tree, conflicting paths, an empty field, then records of `<number of
    # paths> <paths> <type> <message>`; only text follows the last NUL.
    fields = [field.decode(errors="backslashreplace") for field in stdout.split(b"\0")]
    position = fields.index("", 0, -1)
    conflicting = frozenset(fields[1:position])
    position += 1
    while position < len(fields) - 1:
        end = position + 1 + int(fields[position])
        paths = fields[position + 1 : end]
        if kind := _CONFLICT_TYPE.fullmatch(fields[end]):
            contents_of = _CONTENTS_OF.match(fields[end + 1])
            # A message names more than the conflicting paths, for instance old names.
            for path in [path for path in paths if path in conflicting] or paths[:1]:
                yield Conflict(path=_real(path, commits), kind=(contents_of or kind)[1])
        position = end + 2


def _real(path: str, commits: tuple[str, ...]) -> str:
    """Return the path in the commits for a path that a merge would write as `path~<commit>`."""
    for commit in commits:
        path = path.removesuffix(f"~{commit}")
    return path


def _explain(ended: Ended) -> GitFailed:
    words = cause(ended.stderr) or f"exit code {ended.exit_code}"
    error = DiskFull if reports_unwritable_disk(ended.stderr) else GitFailed
    msg = f"git merge-tree: {words}"
    return error(msg)
