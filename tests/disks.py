"""Small file systems, which a test can fill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BLOCK = bytes(1 << 20)


@contextmanager
def small_disk(where: Path, size: str, *options: str) -> Iterator[Path]:
    """Make a folder a file system of this size; skips a test whose user may not mount one."""
    where.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "tmpfs", where)
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        yield where
    finally:
        # Lazily: a test that failed may have left a program whose log is still open.
        subprocess.run(("umount", "--lazy", str(where)), check=True)


def fill(folder: Path) -> Path:
    """Fill the file system of the folder to its last byte; returns the file that does."""
    file = folder / "ballast"
    with file.open("ab", buffering=0) as ballast:
        for size in (len(_BLOCK), 4096, 1):
            try:
                while ballast.write(_BLOCK[:size]):
                    pass
            except OSError:
                continue
    return file
