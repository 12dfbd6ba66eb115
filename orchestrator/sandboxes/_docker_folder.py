"""The folder that a container and its worker share: pipes, and the lock of the live worker."""

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

#: The path of the shared folder in the container.
INSIDE = "/run/orchestrator"
_PIPES = ("control", "status")
_FILES = ("stdin", "environment")


@dataclass(frozen=True)
class Shared:
    """The folder of one container, which has its name."""

    name: str
    #: The part that the container sees. The lock is outside it, because a program could lock it
    #: too.
    inside: Path
    #: Non-blocking; only the worker's end of it writes.
    control: IO[bytes]
    status: IO[bytes]

    def close_to_others(self) -> None:
        """Remove the names that the container has opened: no other process can open them."""
        for name in (*_PIPES, *_FILES):
            (self.inside / name).unlink()


class Folders:
    """The folders of this system's containers; a lock ends with its process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def shared(
        self, label: str, *, owner: tuple[int, int], stdin: bytes, environment: bytes
    ) -> Iterator[Shared]:
        """Make a folder and hold it in the context; `owner` (uid, gid) may open its inner part."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The name is hidden until the folder is locked, so that no sweep removes it as an orphan.
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
            # Opened for reading too, so that the open succeeds before the container opens it.
            control = os.open(inside / "control", os.O_RDWR | os.O_NONBLOCK)
            status = os.open(inside / "status", os.O_RDONLY | os.O_NONBLOCK)
            yield Shared(
                folder.name,
                inside,
                stack.enter_context(open(control, "wb", buffering=0)),  # noqa: PTH123 - a descriptor
                stack.enter_context(open(status, "rb", buffering=0)),  # noqa: PTH123 - a descriptor
            )

    def names(self) -> frozenset[str]:
        """Return the names of all folders, held or not."""
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
        """Remove the folder of a process that has ended."""
        shutil.rmtree(self._folder / name, ignore_errors=True)


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor
