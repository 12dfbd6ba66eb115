"""The last answers of git about objects, which never change."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

#: Enough for the trees of one agent on a repository of some ten thousand files.
_MOST_BYTES = 8 * 2**20
_LARGEST_BYTES = 2 * 2**20
_ID = r"(?:[0-9a-f]{40}|[0-9a-f]{64})"
_REVISION = re.compile(rf"\^?{_ID}(?:\^\{{(?:commit|tree)\}})?")
_IDS = re.compile(rf"(?:{_ID}\n)*".encode())
#: The commands that read nothing but objects, and the kind of object as their first word.
_COMMANDS = frozenset({"ls-tree", "diff-tree", "rev-list", "cat-file"})
_KIND = "blob"

Question = tuple[str, tuple[str, ...], tuple[tuple[str, str], ...], bytes]


class Answers:
    """Answers up to a number of bytes; the one that was used longest ago goes first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: OrderedDict[Question, bytes] = OrderedDict()
        self._bytes = 0

    def find(self, question: Question) -> bytes | None:
        """Return the answer; None if it is not remembered."""
        with self._lock:
            if question in self._held:
                self._held.move_to_end(question)
            return self._held.get(question)

    def remember(self, question: Question, answer: bytes) -> None:
        """Remember an answer, unless it is large."""
        if _size(question, answer) > _LARGEST_BYTES:
            return
        with self._lock:
            if question not in self._held:
                self._held[question] = answer
                self._bytes += _size(question, answer)
            while self._bytes > _MOST_BYTES:
                self._bytes -= _size(*self._held.popitem(last=False))


def is_of_objects(arguments: Sequence[str], stdin: bytes, answer: bytes) -> bool:
    """Return whether an answer will be the same for ever: all is named by full ids, and exists."""
    command, *others = arguments
    before_paths = others[: others.index("--")] if "--" in others else others
    named = [word for word in before_paths if not word.startswith("-") and word != _KIND]
    return (
        command in _COMMANDS
        and all(map(_REVISION.fullmatch, named))
        and bool(named or stdin)
        and _IDS.fullmatch(stdin) is not None
        # An object that is missing now may be received later.
        and b" missing\n" not in answer
    )


def _size(question: Question, answer: bytes) -> int:
    return len(question[3]) + len(answer)
