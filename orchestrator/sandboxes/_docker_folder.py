"""What a container and its worker share: pipes, and the lock that tells that somebody holds it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

#: Where the container sees its part of the folder.
INSIDE = "/run/orchestrator"
_PIPES = ("control", "status")
_FILES = ("stdin", "environment")


@dataclass(frozen=True)
class Shared:
    """The folder of one container, which has its name."""

    name: str
    #: The part that the container sees. The lock stands outside: a program could take it, too.
    inside: Path
    #: Non-blocking; the worker's end of it is the only one that writes.
    control: IO[bytes]
    status: IO[bytes]

    def close_to_others(self) -> None:
        """Take the names away once the container has opened them: nobody else ever can."""
        for name in (*_PIPES, *_FILES):
            (self.inside / name).unlink()


class Folders:
    """The folders of this system's containers; locks outlive no process, so nor does a hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def shared(
        self, label: str, *, owner: tuple[int, int], stdin: bytes, environment: bytes
    ) -> Iterator[Shared]:
        """Make a folder, held until this is left; `owner` (uid, gid) may open what is inside."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Hidden until it is locked, so that nobody takes it for one that is left.
        made = Path(tempfile.mkdtemp(prefix=f".{label}.", dir=self._folder))
        folder = made.with_name(made.name.removeprefix("."))
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(os.close, _lock(made))
            made.rename(folder)
            inside = folder / "inside"
            inside.mkdir(mode=0o755)
            for name, content in zip(_FILES, (stdin, environment), strict=True):
                (inside / name).write_bytes(content)
            for name in _PIPES:
                os.mkfifo(inside / name, 0o600)
            for path in inside.iterdir():
                path.chmod(0o600)
                if os.geteuid() == 0:
                    os.chown(path, *owner)
            # To read as well, so that it can be opened before the container does.
            control = os.open(inside / "control", os.O_RDWR | os.O_NONBLOCK)
            status = os.open(inside / "status", os.O_RDONLY | os.O_NONBLOCK)
            yield Shared(
                folder.name,
                inside,
                stack.enter_context(open(control, "wb", buffering=0)),  # noqa: PTH123 - a descriptor
                stack.enter_context(open(status, "rb", buffering=0)),  # noqa: PTH123 - a descriptor
            )

    def names(self) -> frozenset[str]:
        """Return those there are, held or not."""
        with suppress(FileNotFoundError):
            return frozenset(
                entry.name for entry in self._folder.iterdir() if not entry.name.startswith(".")
            )
        return frozenset()

    def is_held(self, name: str) -> bool:
        """Whether a live process holds this folder."""
        try:
            os.close(_lock(self._folder / name))
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def remove(self, name: str) -> None:
        """Remove what a process that is gone left."""
        shutil.rmtree(self._folder / name, ignore_errors=True)


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor
