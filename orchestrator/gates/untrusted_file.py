"""Reads a file that a gate's programs wrote below an open folder: no link, no pipe, a bound."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import PurePosixPath

#: A coverage report of half a million lines of code is smaller.
LIMIT_BYTES = 64 * 2**20


def read_untrusted(root: int, path: str) -> bytes | str | None:
    """Return the file's content, the reason why it is not read, or None if no such file exists.

    `root` is the descriptor of a folder. No symbolic link is followed, at any part of the path.
    """
    *folders, name = PurePosixPath(path).parts
    folder = root
    with ExitStack() as stack:
        try:
            for part in folders:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                folder = os.open(part, flags, dir_fd=folder)
                stack.callback(os.close, folder)
            # Non-blocking, because opening a named pipe would wait for its writer.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            stack.callback(os.close, file)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return "is not a regular file"
            with open(file, "rb", closefd=False) as stream:
                content = stream.read(LIMIT_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"cannot be read as a file inside the checkout ({error.strerror})"
    return content if len(content) <= LIMIT_BYTES else "is too large to be read"
