"""Reads files of an ended agent's untrusted HOME, and JSON documents in them.

No link is followed, and only regular files are read, up to a limited number of bytes and names.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

#: All transcripts of a session together; one at the model's limit has a few MiB.
LIMIT_BYTES = 64 * 2**20
#: The limit exists because an agent may make any number of files.
_MOST_NAMES = 1000
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENXIO)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Non-blocking, because opening a named pipe would block for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class OverLimitError(Exception):
    """The files are larger than the limit."""


class HomeFiles:
    """Reads one untrusted HOME, up to a limited number of bytes in all."""

    def __init__(self, home: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._home = home
        self._left = limit_bytes

    def names(self, steps: tuple[str, ...]) -> list[str]:
        """Return the names in a folder; none if there is no such folder."""
        descriptor = self._open(steps, _FOLDER)
        if descriptor is None:
            return []
        try:
            with os.scandir(descriptor) as listing:
                return [entry.name for entry in islice(listing, _MOST_NAMES)]
        finally:
            os.close(descriptor)

    def lines(self, steps: tuple[str, ...]) -> tuple[str, ...]:
        """Return the lines of a file that are JSON objects; none if there is no such file.

        Raises:
            OverLimitError: the files read so far are larger than the limit.
        """
        lines = self.content(steps).split(b"\n")
        return tuple(line.decode() for line in lines if document_of(line) is not None)

    def content(self, steps: tuple[str, ...]) -> bytes:
        """Return the content of a file; empty if there is no such file.

        Raises:
            OverLimitError: the files read so far are larger than the limit.
        """
        descriptor = self._open(steps, _FILE)
        if descriptor is None:
            return b""
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return b""
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise OverLimitError
        return content

    def _open(self, steps: tuple[str, ...], flags: int) -> int | None:
        """Open a path below a folder without following a link; None if it does not exist."""
        *folders, last = (self._home.name, *steps)
        try:
            descriptor = os.open(self._home.parent, _FOLDER)
            for step, how in (*((folder, _FOLDER) for folder in folders), (last, flags)):
                parent = descriptor
                try:
                    descriptor = os.open(step, how, dir_fd=parent)
                finally:
                    os.close(parent)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            return None
        return descriptor


def document_of(line: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line; None if there is none, for instance if it is cut."""
    try:
        document = json.loads(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def write_lines(path: Path, entries: Sequence[str]) -> None:
    """Write entries, one a line, and the folders that contain the file; nothing without entries."""
    if entries:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
