"""The overlap monitor: reports the changed files of a running agent, to find overlaps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from orchestrator.errors import StoreRefused
from orchestrator.host.folders import files_below
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.models.text import storable
from orchestrator.store import overlap
from orchestrator.store.overlap import FILES_LIMIT
from orchestrator.store.patience import not_waiting_for_space

#: The interval of the scans of a workspace; a scan of 5,000 files takes about 20 ms.
EVERY_S = 5.0
#: Folders that tools create. Asking git for ignored files would need a run in the sandbox.
_MADE = frozenset(
    (
        *(".git", "__pycache__", ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache"),
        *(".ruff_cache", "node_modules", ".next", "target", "build", "dist", ".gradle"),
    )
)

log = get_logger("monitors")


@dataclass
class OverlapMonitor:
    """Finds changed files of one agent by their modification times, without git."""

    holder: AgentLeases
    agent: AgentState
    worktree: Path
    #: The start of the program, by `time.time_ns`; files that changed later are the agent's.
    begun_ns: int
    _next_s: float = field(default_factory=lambda: time.monotonic() + EVERY_S)
    _reported: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Scan the worktree if a scan is due; write newly changed files to the overlap index."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + EVERY_S
        if len(self._reported) >= FILES_LIMIT or not (news := {*self._touched()} - self._reported):
            return
        try:
            with not_waiting_for_space():
                self.holder.store.follow(overlap.touch(self.agent, news, now=self.holder.clock()))
        except StoreRefused as refusal:
            # They are found again at the next scan.
            log.warning("overlap", agentId=self.agent.agent_id, reason=str(refusal))
        else:
            self._reported |= news

    def forget(self) -> None:
        """Remove the agent's files from the overlap index."""
        if self._reported:
            self.holder.store.run(overlap.forget(self.agent))

    def _touched(self) -> Iterator[str]:
        changed = (
            storable(path)
            for path, found in files_below(self.worktree, without=_MADE)
            if found.st_mtime_ns > self.begun_ns
        )
        yield from islice(changed, FILES_LIMIT)
