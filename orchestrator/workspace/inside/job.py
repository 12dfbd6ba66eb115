"""The input of one capture, and its report."""

from __future__ import annotations

import json
import os


class Job:
    """The input, as JSON in the one argument; paths are bytes, as in file systems."""

    def __init__(self, text: str) -> None:
        asked = json.loads(text)
        self.worktree = os.fsencode(asked["worktree"])
        self.base = os.fsencode(asked["base"])
        #: The path of the bundle; the scratch space of the capture is beside it.
        self.bundle = os.fsencode(asked["bundle"])
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
        self.retained: list[dict[str, str]] = []
        #: Paths by reason.
        self.left_out: dict[str, list[str]] = {}
        self.unfinished: list[str] = []

    def leave(self, path: bytes | str, reason: str) -> None:
        """Record a path that no part of the bundle contains."""
        self.left_out.setdefault(reason, []).append(shown(path))

    def text(self, most_paths: int) -> str:
        """Return the report as JSON, with at most so many paths for each reason."""
        return json.dumps(
            {
                "isChanged": self.is_changed,
                "retained": self.retained,
                "leftOut": [
                    {"reason": reason, "count": len(paths), "paths": sorted(paths)[:most_paths]}
                    for reason, paths in sorted(self.left_out.items())
                ],
                "unfinished": self.unfinished[:most_paths],
            }
        )


def shown(name: bytes | str) -> str:
    """Return a name for display; bytes that are not UTF-8 are escaped."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")
