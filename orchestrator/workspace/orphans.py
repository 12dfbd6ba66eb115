"""What agents left on this host, whichever host cleaned up after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.workspace.change import Candidates


@dataclass(frozen=True)
class Leftovers:
    """The workspaces and candidates that stand on this host."""

    #: Removes an agent's workspace without waiting, once what it holds is kept.
    remove_workspace: Callable[[str], int]
    candidates: Candidates
    #: Where both stand; a name there begins with its agent's id.
    folders: tuple[Path, ...]

    def agents(self) -> tuple[str, ...]:
        """Return the agents of whom anything stands here."""
        entries = (
            entry for folder in self.folders if folder.is_dir() for entry in folder.iterdir()
        )
        # What begins with a dot is nobody's: spares.
        return tuple(sorted({entry.name.partition(".")[0] for entry in entries} - {""}))

    def remove(self, agent_id: str) -> int:
        """Remove all of an agent, waiting for nobody; returns the bytes freed.

        Raises:
            GitFailed: something of it could not be removed, or a worker still works in it.
        """
        return self.remove_workspace(agent_id) + self.candidates.remove(agent_id)
