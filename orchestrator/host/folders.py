"""Folders that agents own, walked and written by descriptor: no link in them is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

#: Each level holds a descriptor; sources are not nested deeper.
MOST_LEVELS = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a folder, not what a link in its place names.

    Raises:
        OSError: there is no folder of this name.
    """
    descriptor = os.open(path, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def files_below(
    folder: Path, *, without: Container[str] = (), most_levels: int = MOST_LEVELS
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every regular file as its relative path and what `lstat` says of it.

    Folders named in `without` and those below `most_levels` are left out, and so is what is gone
    or exchanged meanwhile.
    """
    with ExitStack() as held:
        try:
            root = held.enter_context(opened(folder))
        except OSError:
            return
        levels = [(root, "", iter(_names(root)))]
        # Who asks for no more files leaves the levels open.
        held.callback(lambda: _close(levels[1:]))
        while levels:
            descriptor, prefix, names = levels[-1]
            name = next(names, None)
            if name is None:
                levels.pop()
                if levels:
                    os.close(descriptor)
                continue
            try:
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield f"{prefix}{name}", found
                elif (
                    stat.S_ISDIR(found.st_mode)
                    and name not in without
                    and len(levels) < most_levels
                ):
                    below = os.open(name, _FOLDER, dir_fd=descriptor)
                    levels.append((below, f"{prefix}{name}/", iter(_names(below))))
            except OSError:
                continue


@contextmanager
def new_file(root: int, relative: str, mode: int) -> Iterator[IO[bytes] | None]:
    """Create a file below an open folder, with the folders in between; None if one is there.

    Raises:
        OSError: a link or a file stands where a folder should.
    """
    *folders, name = relative.split("/")
    with ExitStack() as held:
        descriptor = root
        for folder in folders:
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=descriptor)
            descriptor = os.open(folder, _FOLDER, dir_fd=descriptor)
            held.callback(os.close, descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            made = os.open(name, flags, mode, dir_fd=descriptor)
        except FileExistsError:
            yield None
            return
        with open(made, "wb") as file:  # noqa: PTH123 - a descriptor
            os.fchmod(made, mode)
            yield file


def remove_below(root: Path, relative: str) -> None:
    """Remove a file below a folder, if it exists; a link in its place is removed, not followed.

    Raises:
        OSError: a link or a file stands where a folder should, or a folder where the file should.
    """
    *folders, name = relative.split("/")
    with ExitStack() as held, suppress(FileNotFoundError):
        descriptor = held.enter_context(opened(root))
        for folder in folders:
            descriptor = os.open(folder, _FOLDER, dir_fd=descriptor)
            held.callback(os.close, descriptor)
        os.unlink(name, dir_fd=descriptor)


def _close(levels: Sequence[tuple[int, str, Iterator[str]]]) -> None:
    for descriptor, _, _ in levels:
        os.close(descriptor)


def _names(descriptor: int) -> list[str]:
    return sorted(os.listdir(descriptor))
