"""Files of ended agents on this host, also of agents that another host cleaned up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.workspace.change import Candidates


@dataclass(frozen=True)
class Leftovers:
    """The workspaces and candidates on this host."""

    #: Removes an agent's workspace without waiting, after its content was saved.
    remove_workspace: Callable[[str], int]
    candidates: Candidates
    #: The folders of both; a name in them begins with the agent's id.
    folders: tuple[Path, ...]

    def agents(self) -> tuple[str, ...]:
        """Return the agents that have files here."""
        entries = (
            entry for folder in self.folders if folder.is_dir() for entry in folder.iterdir()
        )
        # A name that begins with a dot belongs to no agent: it is a spare.
        return tuple(sorted({entry.name.partition(".")[0] for entry in entries} - {""}))

    def remove(self, agent_id: str) -> int:
        """Remove all files of an agent without waiting for a lock; returns the bytes freed.

        Raises:
            GitFailed: some files could not be removed, or a worker still works in it.
        """
        return self.remove_workspace(agent_id) + self.candidates.remove(agent_id)
