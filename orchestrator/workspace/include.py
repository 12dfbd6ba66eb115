"""Copies ignored files into a workspace, as `.worktreeinclude` of the base names them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pathspec import GitIgnoreSpec

from orchestrator.errors import IncludeTooLarge

INCLUDE_FILE = ".worktreeinclude"
FILES_LIMIT = 10_000
BYTES_LIMIT = 512 * 2**20


def include(source: Path, patterns: str, worktree: Path) -> int:
    """Copy the regular files below `source` that match the patterns; returns their number.

    The patterns have git's syntax and cannot name files outside `source`. Links are neither copied
    nor followed. Files that the worktree already has are not replaced. `.git` is never read.

    Raises:
        IncludeTooLarge: over FILES_LIMIT files or BYTES_LIMIT bytes match.
    """
    spec = GitIgnoreSpec.from_lines(patterns.splitlines())
    count = size = 0
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            path = Path(folder, name)
            relative = path.relative_to(source)
            if not spec.match_file(relative) or path.is_symlink() or not path.is_file():
                continue
            target = worktree / relative
            if os.path.lexists(target):
                continue
            count += 1
            size += path.stat().st_size
            if count > FILES_LIMIT or size > BYTES_LIMIT:
                msg = f"{INCLUDE_FILE} names more than {FILES_LIMIT} files or {BYTES_LIMIT} bytes."
                raise IncludeTooLarge(msg)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
    return count
