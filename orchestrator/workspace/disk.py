"""What this room asks of the disk: exclusive locks, full disks named, trees removed for sure."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import DiskFull, GitFailed
from orchestrator.host.cancel_scope import current, working_in
from orchestrator.workspace.host_program import run_program

#: What programs in the C locale print for ENOSPC and EDQUOT; another host's words do not count.
#: A checkout whose write fails names the file but no reason.
_FULL = re.compile(
    r"^(?!remote:).*(No space left on device|Disk quota exceeded)"
    r"|^error: unable to write file (?!.*: [A-Z])",
    re.MULTILINE,
)
_REMOVAL_TIMEOUT_S = 600.0
_LOCK_PAUSE_S = 0.005


def reports_full_disk(stderr: str) -> bool:
    """Return whether a program of this host says that its disk is full."""
    return _FULL.search(stderr) is not None


@contextmanager
def naming_full_disk(where: Path) -> Iterator[None]:
    """Turn the disk-full errors of the system into the typed one.

    Raises:
        DiskFull: something could not be written under `where`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        msg = f"{where}: {error.strerror}."
        raise DiskFull(msg) from error


@contextmanager
def locked(path: Path, *, wait_s: float = 0.0) -> Iterator[int]:
    """Hold the exclusive lock of this file, waiting for it at most so long; yields its descriptor.

    A child that keeps the descriptor keeps the lock if this process is killed; a process that is
    stopped keeps it too, so nobody waits for ever, nor longer than the attempt that wants it lives.
    Who holds it may remove the file: the next one makes another.

    Raises:
        BlockingIOError: another holds it.
    """
    descriptor = _lock(path, time.monotonic() + wait_s)
    try:
        yield descriptor
    finally:
        # Not only closed: a stray child may still have the descriptor open.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(path: Path, deadline: float) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        is_locked = False
        try:
            _await_lock(descriptor, deadline)
            # Not the lock any more if whoever had it before removed the file.
            is_locked = os.fstat(descriptor).st_nlink > 0
        finally:
            if not is_locked:
                os.close(descriptor)
        if is_locked:
            return descriptor


def _await_lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cancel_scope = current()
            if time.monotonic() >= deadline or (cancel_scope and cancel_scope.is_ended):
                raise
        else:
            return
        time.sleep(_LOCK_PAUSE_S)


def free_bytes(path: Path) -> int:
    """Return what is left on the disk where a path is, or is going to be."""
    return shutil.disk_usage(next(at for at in (path, *path.parents) if at.exists())).free


def used_bytes(path: Path, *, within_s: float) -> int:
    """Return what a hostile tree takes up on its disk, as far as it can be entered.

    Raises:
        TimeoutError: it has too many files to count in this time.
    """
    return _kib(_run("du", "-skx", str(path), timeout_s=within_s)) * 1024


def remove_tree(path: Path) -> int:
    """Remove a tree whatever its owner did to it and return the bytes freed; 0 if it is not there.

    Directories nobody may read are opened first, symbolic links are removed and never followed,
    and no depth is too deep: coreutils walk by descriptor where Python recurses.

    Raises:
        GitFailed: something of it is still there.
    """
    if not os.path.lexists(path):
        return 0
    closed = ("-type", "d", "!", "-perm", "-u+rwx")
    _run("find", str(path), *closed, "-execdir", "chmod", "u+rwx", "{}", ";")
    used_kib = _kib(_run("du", "-sk", str(path)))
    said = _run("rm", "-rf", str(path))
    if os.path.lexists(path):
        msg = f"{path} cannot be removed: {said}"
        raise GitFailed(msg)
    return used_kib * 1024


def _kib(said: str) -> int:
    # Where another removes it too, `du` may find nothing any more.
    used = said.partition("\t")[0]
    return int(used) if used.isdecimal() else 0


def _run(*argv: str, timeout_s: float = _REMOVAL_TIMEOUT_S) -> str:
    """Return what the program printed; what it could not do shows in what is left."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    # In nobody's custody: what a killed attempt leaves must go too.
    with working_in(None):
        ended = run_program(argv, env=environment, timeout_s=timeout_s)
    return ended.stdout.decode(errors="replace") or ended.stderr
