"""Reads the index of the last checkout as a file, because git compares whole seconds only."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Signature, version, number of entries.
_HEADER = struct.Struct(">4sLL")
#: ctime, mtime (s and ns each), dev, ino, mode, uid, gid, size, id, flags.
_ENTRY = struct.Struct(">10L20sH")
_EXTENDED = 0x4000
_LOW = 0xFFFFFFFF
_S = 10**9


class CheckedOut:
    """The stat data of each path at the checkout; without an index there are none."""

    def __init__(self, path: bytes) -> None:
        self._entries: Mapping[bytes, tuple[Any, ...]] = {}
        self._written_ns = 0
        try:
            with open(path, "rb") as file:
                self._written_ns = os.fstat(file.fileno()).st_mtime_ns
                self._entries = _parse(file.read())
        except (OSError, ValueError, struct.error):
            pass  # then every file is read

    def is_untouched(self, path: bytes, found: os.stat_result, before: tuple[bytes, bytes]) -> bool:
        """Return whether a file is the base's blob, by its stat: no program can set a ctime.

        A file as new as the index may have changed within a tick of the clock, so it is read.
        """
        entry = self._entries.get(path)
        mtime, ctime = found.st_mtime_ns, found.st_ctime_ns
        if entry is None or mtime >= self._written_ns or ctime >= self._written_ns:
            return False
        seen = (
            *(ctime // _S & _LOW, ctime % _S, mtime // _S & _LOW, mtime % _S, entry[4]),
            *(found.st_ino & _LOW, entry[6], found.st_uid & _LOW, found.st_gid & _LOW),
            found.st_size & _LOW,
        )
        return (
            entry[:10] == seen
            and b"%o" % entry[6] == before[0]
            and entry[10] == bytes.fromhex(before[1].decode())
        )


def _parse(data: bytes) -> dict[bytes, tuple[Any, ...]]:
    signature, version, count = _HEADER.unpack_from(data)
    if signature != b"DIRC" or version not in (2, 3):
        raise ValueError(version)
    entries = {}
    at = _HEADER.size
    unpack, size, find = _ENTRY.unpack_from, _ENTRY.size, data.index
    for _ in range(count):
        fields = unpack(data, at)
        start = at + size + (2 if fields[11] & _EXTENDED else 0)
        end = find(b"\0", start)
        entries[data[start:end]] = fields
        # NUL bytes pad each entry to a multiple of eight bytes; there is always at least one.
        at += (end - at + 8) & ~7
    return entries
