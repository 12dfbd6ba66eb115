"""Copies ignored files into a workspace, as `.worktreeinclude` of the base names them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from pathspec import GitIgnoreSpec

from orchestrator.errors import IncludeTooLarge
from orchestrator.host.folders import files_below, new_file, opened
from orchestrator.log import get_logger

INCLUDE_FILE = ".worktreeinclude"
FILES_LIMIT = 10_000
BYTES_LIMIT = 512 * 2**20
#: What a link or a file gives that stands where a folder should.
_OCCUPIED = frozenset({errno.ELOOP, errno.ENOTDIR})

log = get_logger("include")


def include(source: Path, patterns: str, worktree: Path) -> int:
    """Copy the regular files below `source` that match the patterns; returns their number.

    The patterns have git's syntax and cannot name files outside `source`. Links are neither copied
    nor followed, in the source or in the worktree: if the worktree has a link in place of a folder,
    the files below it are left out. Files that the worktree already has are not replaced. `.git`
    is never read.

    Raises:
        IncludeTooLarge: over FILES_LIMIT files or BYTES_LIMIT bytes match.
    """
    spec = GitIgnoreSpec.from_lines(patterns.splitlines())
    count = size = 0
    with opened(worktree) as root:
        for relative, found in files_below(source, without=(".git",)):
            if not spec.match_file(relative):
                continue
            try:
                copied = _copy(source / relative, root, relative, found)
            except OSError as error:
                if error.errno not in _OCCUPIED:
                    raise
                # A link or a file of the repository, or of an earlier attempt, is in its way.
                log.warning("not included", path=relative, reason=error.strerror)
                continue
            count += copied
            size += found.st_size if copied else 0
            if count > FILES_LIMIT or size > BYTES_LIMIT:
                msg = f"{INCLUDE_FILE} names more than {FILES_LIMIT} files or {BYTES_LIMIT} bytes."
                raise IncludeTooLarge(msg)
    return count


def _copy(path: Path, root: int, relative: str, found: os.stat_result) -> bool:
    """Copy one file with its mode and times; False where the worktree has one of that name."""
    with (
        open(path, "rb", opener=_not_a_link) as source,
        new_file(root, relative, stat.S_IMODE(found.st_mode)) as target,
    ):
        if target is None:
            return False
        shutil.copyfileobj(source, target)
        target.flush()
        os.utime(target.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
    return True


def _not_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
