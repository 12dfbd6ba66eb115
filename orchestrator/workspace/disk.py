"""The disk operations of this package: exclusive locks, full-disk errors and reliable removal."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import DiskFull, GitFailed
from orchestrator.host.cancel_scope import current, working_in
from orchestrator.workspace.host_program import run_program

#: The messages of programs in the C locale for ENOSPC and EDQUOT; messages of another host do not
#: count. A checkout whose write fails names the file but no reason.
_FULL = re.compile(
    r"^(?!remote:).*(No space left on device|Disk quota exceeded)"
    r"|^error: unable to write file (?!.*: [A-Z])",
    re.MULTILINE,
)
_READ_ONLY = re.compile(r"^(?!remote:).*Read-only file system", re.MULTILINE)
#: A disk that is read-only or has failed.
_REFUSALS = (errno.EROFS, errno.EIO)
_REMOVAL_TIMEOUT_S = 600.0
#: A checkout needs an inode for each file; `df -i` shows them.
_LEAST_INODES = 10_000
#: If an agent fails with less of these than this, the cause is a full disk.
_FULL_BYTES, _FULL_INODES = 64 * 1024, 8
_LOCK_PAUSE_S = 0.005
#: linux/fs.h: the attribute `T` of `chattr`, and the calls that read and write attributes.
_TOP_OF_TREES = 0x00020000
_GET_ATTRIBUTES, _SET_ATTRIBUTES = 0x80086601, 0x40086602


def reports_full_disk(stderr: str) -> bool:
    """Return whether a program of this host reports that the disk is full."""
    return _FULL.search(stderr) is not None


def reports_unwritable_disk(stderr: str) -> bool:
    """Return whether a program that writes only where it may reports a full or read-only disk.

    Most places are read-only in a sandbox, so that there only a full disk is a fault of the host.
    """
    return reports_full_disk(stderr) or _READ_ONLY.search(stderr) is not None


@contextmanager
def naming_full_disk(where: Path) -> Iterator[None]:
    """Convert the disk-full errors of the system to DiskFull.

    Raises:
        DiskFull: something could not be written under `where`.
    """
    try:
        yield
    except OSError as error:
        if not DiskFull.is_cause_of(error):
            raise
        msg = f"{where}: {error.strerror}."
        raise DiskFull(msg) from error


@contextmanager
def locked(path: Path, *, wait_s: float = 0.0) -> Iterator[int]:
    """Hold the exclusive lock of this file; waits at most the given time and yields the descriptor.

    A child that inherits the descriptor holds the lock after this process is killed. A stopped
    process holds it too, so the wait is limited to the life of the waiting attempt. The holder may
    remove the file; the next one creates it again.

    Raises:
        BlockingIOError: another process holds it.
    """
    descriptor = _lock(path, time.monotonic() + wait_s)
    try:
        yield descriptor
    finally:
        # The lock is released explicitly, because an orphan process may still have the descriptor
        # open.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(path: Path, deadline: float) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        is_locked = False
        try:
            _await_lock(descriptor, deadline)
            # The file is no longer the lock if the previous holder removed it.
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


def make_folder_of_trees(path: Path) -> None:
    """Make a folder whose subfolders are trees that are not related, and come and go.

    ext4 then places each tree in another group of inodes. Without that, a new file is placed where
    a tree was just removed: on ext4 without a journal the search for an inode skips each of those
    that were freed in the last minutes, and the checkout of 5,000 files took 20 times as long.
    """
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # It is a hint: other file systems lack it, and only the owner of the folder may set it.
        with suppress(OSError):
            read = fcntl.ioctl(descriptor, _GET_ATTRIBUTES, bytes(struct.calcsize("l")))
            attributes = int.from_bytes(read, sys.byteorder)
            if not attributes & _TOP_OF_TREES:
                changed = struct.pack("l", attributes | _TOP_OF_TREES)
                fcntl.ioctl(descriptor, _SET_ATTRIBUTES, changed)
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk that contains a path, or will contain it."""
    return shutil.disk_usage(_existing(path)).free


def _existing(path: Path) -> Path:
    return next(at for at in (path, *path.parents) if at.exists())


def _refusal(folder: Path) -> str:
    """Return why a disk refuses a file without a name; empty if it takes one, or knows none.

    After an error of its disk, ext4 refuses each write, while statvfs and the options of the mount
    still say that it is writable (Linux 6.15 and later).
    """
    try:
        flags = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
        os.close(os.open(folder, flags, 0o600))
    except OSError as error:
        return os.strerror(error.errno) if error.errno in _REFUSALS else ""
    return ""


def lack_of_space(folder: Path, low_water_bytes: int, *, least_inodes: int = _LEAST_INODES) -> str:
    """Return why no agent should start in a folder now; empty if one may start."""
    place = _existing(folder)
    if refusal := _refusal(place):
        return f"disk: no file can be made under {folder}: {refusal}"
    disk = os.statvfs(place)
    # Some file systems count no inodes. A small one has few, and may use most of them.
    if disk.f_favail < min(least_inodes, disk.f_files // 20):
        return f"disk: {disk.f_favail} inodes free under {folder}, of {disk.f_files}"
    free = free_bytes(folder)
    if free >= low_water_bytes:
        return ""
    return f"disk: {free} bytes free under {folder}, low-water mark {low_water_bytes}"


def fullness(folder: Path) -> str:
    """Return why no program can write in a folder now; empty if one can."""
    return lack_of_space(folder, _FULL_BYTES, least_inodes=_FULL_INODES)


def used_bytes(path: Path, *, within_s: float) -> int:
    """Return the disk usage of an untrusted tree, as far as it can be read.

    Raises:
        TimeoutError: the count of its files did not finish in this time.
    """
    return _kib(_run("du", "-skx", str(path), timeout_s=within_s)) * 1024


def remove_tree(path: Path) -> int:
    """Remove a tree with any permissions; returns the bytes freed, 0 if it does not exist.

    Unreadable folders are opened first. Symbolic links are removed and never followed. Any depth
    works: coreutils walk by descriptor, while Python recurses.

    Raises:
        GitFailed: some of it still exists.
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


def sync_file_system(path: Path) -> None:
    """Return when the disk has everything that was written to the file system of a path.

    Raises:
        DiskFull: it could not write all of it.
    """
    if refusal := _run("sync", "--file-system", str(path)):
        raise DiskFull(refusal)


def _kib(said: str) -> int:
    # `du` may find nothing if another process removes the tree too.
    used = said.partition("\t")[0]
    return int(used) if used.isdecimal() else 0


def _run(*argv: str, timeout_s: float = _REMOVAL_TIMEOUT_S) -> str:
    """Return the output of the program; a failure shows in the files that remain."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    # It runs in no cancel scope, because it must also remove the files of a killed attempt.
    with working_in(None):
        ended = run_program(argv, env=environment, timeout_s=timeout_s)
    return ended.stdout.decode(errors="replace") or ended.stderr
