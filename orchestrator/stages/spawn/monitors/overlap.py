"""Warns, while they run, when two agents of one repository touch the same files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.leases.holder import AgentLeases
from orchestrator.models import AgentState
from orchestrator.store import overlap
from orchestrator.store.overlap import FILES_LIMIT

#: How often a workspace is looked through: 5,000 files take some 20 ms.
EVERY_S = 5.0
#: What tools make and no change holds; to ask git would take a run of it in the agent's sandbox.
_MADE = frozenset(
    (
        *(".git", "__pycache__", ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache"),
        *(".ruff_cache", "node_modules", ".next", "target", "build", "dist", ".gradle"),
    )
)


@dataclass
class OverlapMonitor:
    """Follows one agent's worktree by the times of its files: no git runs, nothing is opened."""

    holder: AgentLeases
    agent: AgentState
    worktree: Path
    #: Before its program began, by `time.time_ns`: what was changed since is its work.
    begun_ns: int
    _next_s: float = field(default_factory=lambda: time.monotonic() + EVERY_S)
    _told: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Look if it is time, and tell Valkey what is new."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + EVERY_S
        if len(self._told) >= FILES_LIMIT or not (news := {*self._touched()} - self._told):
            return
        self._told |= news
        self.holder.store.run(overlap.touch(self.agent, news, now=self.holder.clock()))

    def forget(self) -> None:
        """Take the agent out of what others are compared with."""
        if self._told:
            self.holder.store.run(overlap.forget(self.agent))

    def _touched(self) -> Iterator[str]:
        count = 0
        for folder, folders, files in os.walk(self.worktree):
            folders[:] = [name for name in folders if name not in _MADE]
            for name in files:
                path = Path(folder, name)
                try:
                    changed_ns = path.lstat().st_mtime_ns
                except OSError:
                    continue  # gone meanwhile
                if changed_ns > self.begun_ns:
                    yield str(path.relative_to(self.worktree)).encode(errors="replace").decode()
                    count += 1
                    if count == FILES_LIMIT:
                        return
