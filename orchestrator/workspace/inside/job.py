"""What one capture is asked for, and what it says of itself."""

from __future__ import annotations

import json
import os


class Job:
    """The question, as JSON in the one argument; paths are bytes, as file systems have them."""

    def __init__(self, text: str) -> None:
        asked = json.loads(text)
        self.worktree = os.fsencode(asked["worktree"])
        self.base = os.fsencode(asked["base"])
        #: Where the answer goes, and beside it the scratch space of the capture.
        self.bundle = os.fsencode(asked["bundle"])
        #: The objects of the mirror.
        self.objects = os.fsencode(asked["objects"])
        #: The index of the last checkout of ours, which the agent had no reason to touch.
        self.index = os.fsencode(asked["index"])
        #: Patterns, as in a .gitignore.
        self.droppings: list[str] = asked["droppings"]
        self.message: str = asked["message"]
        self.limit_bytes: int = asked["limitBytes"]
        #: Objects that are taken over at once may come to so much, unpacked.
        self.unpacked_bytes: int = asked["unpackedBytes"]
        self.most_refs: int = asked["mostRefs"]
        self.most_paths: int = asked["mostPaths"]


class Report:
    """The answer beside the bundle, as JSON on standard output."""

    def __init__(self) -> None:
        self.is_changed = False
        self.retained: list[dict[str, str]] = []
        #: Paths by reason.
        self.left_out: dict[str, list[str]] = {}
        self.unfinished: list[str] = []

    def leave(self, path: bytes | str, reason: str) -> None:
        """Name something that is in no part of the bundle."""
        self.left_out.setdefault(reason, []).append(shown(path))

    def text(self, most_paths: int) -> str:
        """Return the answer, with so many paths for each reason at most."""
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
    """Return a name for people; bytes that are not UTF-8 are shown as escapes."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")
