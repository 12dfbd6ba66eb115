"""Variants of a candidate's tree, in which some of the changed paths are as in the base."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from orchestrator.workspace.diff import parse_raw_paths, shown_path
from orchestrator.workspace.git import Git


def with_restored(
    git: Git, git_dir: Path, base: str, commit: str, is_restored: Callable[[str], bool]
) -> str:
    """Return a commit like `commit`, in which the chosen paths are as in `base`.

    `is_restored` gets each path that differs, for display as in `ChangedFile`. A chosen path that
    the base lacks is removed. If nothing is chosen, the result is `commit` itself.

    Raises:
        GitFailed: git cannot compare or write the trees.
    """
    raw = git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", base, commit, git_dir=git_dir)
    chosen = [entry for entry in parse_raw_paths(raw) if is_restored(shown_path(entry.path))]
    if not chosen:
        return commit
    # Removals come first: a restored folder may take the place of an added file.
    chosen.sort(key=lambda entry: entry.old_mode != b"000000")
    lines = b"".join(
        (b"0" if entry.old_mode == b"000000" else entry.old_mode)
        + b" %b\t%b\0" % (entry.old_blob, entry.path)
        for entry in chosen
    )
    with tempfile.TemporaryDirectory(prefix="index.", dir=git_dir) as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git.run("read-tree", commit, git_dir=git_dir, env=env)
        update = ("update-index", "--replace", "-z", "--index-info")
        git.run(*update, git_dir=git_dir, env=env, stdin=lines)
        tree = git.run("write-tree", git_dir=git_dir, env=env).decode().strip()
    made = git.run(
        *("commit-tree", tree, "-p", commit, "-m", "with files of the base"), git_dir=git_dir
    )
    return made.decode().strip()
