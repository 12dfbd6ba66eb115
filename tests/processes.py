"""An observer of the process table: sees processes from outside, whatever they do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def stat_of(pid: int) -> list[str]:
    """Return state, parent, … and, at 19, the start of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def lives(pid: int, born: str) -> bool:
    """Return whether this very process is still there; a zombie is dead."""
    fields = stat_of(pid)
    return bool(fields) and fields[19] == born and fields[0] not in ("Z", "X")


class Observer:
    """Remembers processes by pid and birth."""

    def __init__(self) -> None:
        self._noted: set[tuple[int, str]] = set()

    def note(self, *pids: int) -> None:
        """Remember these processes."""
        for pid in pids:
            fields = stat_of(pid)
            assert fields, f"{pid} was gone before it was noted"
            self._noted.add((pid, fields[19]))

    def note_folder(self, folder: Path) -> int:
        """Remember every process that left its pid as a file's name; returns how many."""
        pids = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
        self.note(*(pid for pid in pids if stat_of(pid)))
        return len(pids)

    def alive(self) -> set[int]:
        """Return those that still live."""
        return {pid for pid, born in self._noted if lives(pid, born)}


def eventually(condition: Callable[[], object], *, within_s: float = 60.0) -> object:
    """Wait until a condition holds; returns what it gave."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)
    return found
