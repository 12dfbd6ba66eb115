"""An observer of the process table: sees processes from outside, whatever they do."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MARK = b"ORCH_AGENT_ID="


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


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    return _is_in_mask(pid, "SigCgt", number)


def blocks(pid: int, number: int) -> bool:
    """Return whether a process lets a signal wait."""
    return _is_in_mask(pid, "SigBlk", number)


def _is_in_mask(pid: int, name: str, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    [mask] = re.findall(rf"^{name}:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(mask, 16) & 1 << (number - 1))


def marked_all() -> dict[str, set[int]]:
    """Return every process that carries an agent's mark, supervisors included, by agent."""
    found: dict[str, set[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        # It may end while it is looked at.
        with suppress(OSError):
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                if variable.startswith(MARK):
                    agent_id = variable.removeprefix(MARK).decode()
                    found.setdefault(agent_id, set()).add(int(entry.name))
    return found


def marked(agent_id: str) -> set[int]:
    """Return every process that carries the mark of this agent."""
    return marked_all().get(agent_id, set())


class Observer:
    """Remembers processes by pid and birth."""

    def __init__(self) -> None:
        self._noted: set[tuple[int, str]] = set()

    def record(self, *pids: int) -> None:
        """Remember these processes; one that is gone by now needs no remembering."""
        for pid in pids:
            if fields := stat_of(pid):
                self._noted.add((pid, fields[19]))

    def note_agent(self, agent_id: str, folder: Path, *, at_least: int = 1) -> None:
        """Wait until so many processes left their pids as names in a folder; remember them.

        And all others that carry the agent's mark.
        """
        eventually(lambda: len(pids_in(folder)) >= at_least)
        self.record(*pids_in(folder), *marked(agent_id))
        assert len(self.alive()) >= at_least

    def alive(self) -> set[int]:
        """Return those that still live."""
        return {pid for pid, born in self._noted if lives(pid, born)}

    def end(self) -> None:
        """Kill those that still live: a test that failed leaves nothing."""
        for pid in self.alive():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def pids_in(folder: Path) -> set[int]:
    """Return the pids that processes left as the names of files."""
    return {int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()}


def eventually(condition: Callable[[], object], *, within_s: float = 240.0) -> object:
    """Wait until a condition holds; returns what it gave."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)
    return found
