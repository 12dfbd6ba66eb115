"""Warns, while they run, when two agents of one repository touch the same files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from orchestrator.host.folders import files_below
from orchestrator.leases.holder import AgentLeases
from orchestrator.models import AgentState, LifecycleEvent
from orchestrator.store import keys
from orchestrator.store.events import EVENTS_CAP
from orchestrator.store.operations import call, command, nothing

#: How often a workspace is looked through: 5,000 files take some 20 ms.
EVERY_S = 5.0
#: More files say no more; as in `lua/touch.lua`, which meets those of every agent of a repository.
FILES_LIMIT = 200
#: What tools make and no change holds; to ask git would take a run of it in the agent's sandbox.
_MADE = frozenset(
    (
        *(".git", "__pycache__", ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache"),
        *(".ruff_cache", "node_modules", ".next", "target", "build", "dist", ".gradle"),
    )
)
_TTL_S = 24 * 3600


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
        event = LifecycleEvent(
            type="agent.overlap",
            timestamp=self.holder.clock(),
            agent_id=self.agent.agent_id,
            task_id=self.agent.task_id,
            status=self.agent.status,
            phase=self.agent.phase,
            attempt=self.agent.attempt,
        )
        self.holder.store.run(
            call(
                "touch",
                (keys.touched(self.agent.repository), keys.EVENTS_STREAM),
                (
                    self.agent.agent_id,
                    json.dumps(sorted(news)),
                    json.dumps(event.wire()),
                    keys.EVENTS_CHANNEL,
                    EVENTS_CAP,
                    _TTL_S,
                ),
                int,
            )
        )

    def forget(self) -> None:
        """Take the agent out of what others are compared with."""
        if self._told:
            key = keys.touched(self.agent.repository)
            self.holder.store.run(command("HDEL", key, self.agent.agent_id, decode=nothing))

    def _touched(self) -> Iterator[str]:
        changed = (
            path.encode(errors="replace").decode()
            for path, found in files_below(self.worktree, without=_MADE)
            if found.st_mtime_ns > self.begun_ns
        )
        yield from islice(changed, FILES_LIMIT)
