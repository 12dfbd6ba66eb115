"""Watches which files programs open or execute, from outside of their sandbox, with inotify.

A watch is on the file itself, so it holds for every name, mount and namespace through which a
program of any user opens the file. The program can neither see nor end it, and is not slowed down.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

# The constants of <sys/inotify.h>.
_IN_OPEN = 0x20
_IN_Q_OVERFLOW = 0x4000
#: One event for a file, after which its watch ends: the queue of events cannot overflow.
_IN_ONESHOT = 0x80000000
_EVENT = struct.Struct("iIII")
_READ_BYTES = 2**16


@dataclass
class FileWatch:
    """The files of one folder that are watched; use it in a `with`."""

    root: Path
    #: Why some of the files are not watched; empty if all of them are.
    gap: str = ""
    _descriptor: int = -1
    _paths: dict[int, list[str]] = field(default_factory=dict)
    _opened: set[str] = field(default_factory=set)

    @classmethod
    def start(cls, root: Path, paths: Iterable[str]) -> Self:
        """Watch files below a folder, which no other program changes during this call.

        A path that does not exist is left out. A symbolic link is watched through its target, for
        no system reports that a link is read. A link without a target counts as opened.
        """
        watch = cls(root)
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            watch._descriptor = _checked(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            watch.gap = f"inotify: {error.strerror}"
            return watch
        for path in paths:
            watch._add(libc, path)
        return watch

    def _add(self, libc: ctypes.CDLL, path: str) -> None:
        file = self.root / path
        if not os.path.lexists(file):
            return
        target = Path(os.path.realpath(file))
        if file.is_symlink() and not target.exists():
            self._opened.add(path)
            return
        try:
            mask = _IN_OPEN | _IN_ONESHOT
            number = _checked(libc.inotify_add_watch(self._descriptor, os.fsencode(target), mask))
        except OSError as error:
            self.gap = f"inotify: {path}: {error.strerror}"
            return
        # Names of one file share its watch.
        self._paths.setdefault(number, []).append(path)

    def opened(self) -> frozenset[str]:
        """Return the watched paths that were opened or executed since the start."""
        while self._descriptor >= 0:
            try:
                events = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                break
            at = 0
            while at < len(events):
                number, mask, _, name_bytes = _EVENT.unpack_from(events, at)
                at += _EVENT.size + name_bytes
                if mask & _IN_Q_OVERFLOW:
                    self.gap = "inotify: events were lost"
                if mask & _IN_OPEN:
                    self._opened.update(self._paths.get(number, ()))
        return frozenset(self._opened)

    def __enter__(self) -> Self:
        """Return the watch."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all watches."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
