"""The input of one capture, and its report."""

from __future__ import annotations

import json
import os
import sys

#: The shown length of a path; the longest that a system call takes has 4,096 bytes.
_LONGEST = 4_200


class Job:
    """The input, as JSON in the one argument; paths are bytes, as in file systems."""

    def __init__(self, text: str) -> None:
        asked = json.loads(text)
        self.worktree = os.fsencode(asked["worktree"])
        self.base = os.fsencode(asked["base"])
        #: The path of the bundle.
        self.bundle = os.fsencode(asked["bundle"])
        tmp = os.path.dirname(self.bundle)
        self.root = os.path.dirname(tmp)
        #: The scratch space; `Capture` prepares it.
        self.scratch = os.path.join(tmp, b"capture")
        #: The objects of the mirror.
        self.objects = os.fsencode(asked["objects"])
        #: The index of the orchestrator's last checkout, which no agent has a reason to change.
        self.index = os.fsencode(asked["index"])
        #: Patterns, as in a .gitignore.
        self.droppings: list[str] = asked["droppings"]
        self.message: str = asked["message"]
        self.limit_bytes: int = asked["limitBytes"]
        #: The unpacked size up to which objects are copied at once, in bytes.
        self.unpacked_bytes: int = asked["unpackedBytes"]
        self.most_refs: int = asked["mostRefs"]
        self.most_paths: int = asked["mostPaths"]


class Report:
    """The report beside the bundle, as JSON on standard output."""

    def __init__(self) -> None:
        self.is_changed = False
        #: What the bundle contains beside the change, by its ref there.
        self.retained: dict[bytes, dict[str, str]] = {}
        #: Paths by reason.
        self.left_out: dict[str, list[str]] = {}
        self.unfinished: list[str] = []

    @property
    def number(self) -> int:
        """The number of paths that were left out."""
        return sum(map(len, self.left_out.values()))

    def leave(self, path: bytes | str, reason: str) -> None:
        """Record a path that no part of the bundle contains."""
        self.left_out.setdefault(reason, []).append(shown(path))

    def write(self, most_paths: int) -> None:
        """Write the report as JSON, with at most so many paths for each reason."""
        text = json.dumps(
            {
                "isChanged": self.is_changed,
                "retained": [*self.retained.values()],
                "leftOut": [
                    {"reason": reason, "count": len(paths), "paths": _first(paths, most_paths)}
                    for reason, paths in sorted(self.left_out.items())
                ],
                "unfinished": _first(self.unfinished, most_paths),
            },
            ensure_ascii=False,
        )
        sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
        sys.stdout.buffer.flush()


def _first(names: list[str], most: int) -> list[str]:
    """Return the first names, cut so that no report exceeds the limit of its output."""
    found = sorted(names)[:most]
    return [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in found]


def shown(name: bytes | str) -> str:
    """Return a name for display; bytes that are not UTF-8 are escaped."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")
