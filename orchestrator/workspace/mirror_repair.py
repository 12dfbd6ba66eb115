"""Repairs a mirror after a power failure: git writes packs durably, and other files not.

Such a file is then empty, or ends in NUL bytes, and git refuses the mirror or the objects in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.log import get_logger
from orchestrator.workspace.branch_fetch import UNFINISHED
from orchestrator.workspace.disk import remove_tree

#: How files of packs begin.
_BEGINS = {".pack": b"PACK", ".idx": b"\xfftOc"}
#: How a loose object begins: compressed by zlib, which ends it with a checksum of four bytes.
_ZLIB = b"\x78"

log = get_logger("mirror")


def repair(mirror: Path) -> bool:
    """Remove what is damaged of a mirror whose lock is held; return whether anything was.

    Sound objects stay, because live clones borrow them. All refs go: the next fetch then asks for
    everything that they led to.
    """
    damaged = [*_damaged_objects(mirror / "objects")]
    others = [path for path in mirror.iterdir() if path.name != "objects"]
    if not damaged and all(map(_is_sound, others)):
        return False
    log.warning("mirror repaired", mirror=mirror.name, damaged_objects=len(damaged))
    for path in damaged:
        path.unlink()
    for path in others:
        remove_tree(path)
    return True


def _damaged_objects(objects: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(objects):
        at = Path(folder)
        if at.name == "pack":
            for name in names:
                path = at / name
                if (begins := _BEGINS.get(path.suffix)) and _first(path, len(begins)) != begins:
                    # git takes neither a pack without its index nor the opposite.
                    yield from at.glob(f"{path.stem}.*")
        elif len(at.name) == 2:  # noqa: PLR2004 - the first digits of the ids in it
            yield from (at / name for name in names if not _is_whole(at / name))


def _is_whole(loose: Path) -> bool:
    with loose.open("rb") as file:
        first = file.read(1)
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4))
        return first == _ZLIB and any(file.read())


def _is_sound(path: Path) -> bool:
    """Return whether a file of text, or each file of a folder, was written to its end."""
    if path.is_dir():
        return all(map(_is_sound, path.iterdir()))
    if path.name == UNFINISHED or path.suffix == ".lock":
        # A mark without content, and what a killed git leaves.
        return True
    content = path.read_bytes()
    return bool(content) and b"\0" not in content


def _first(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)
