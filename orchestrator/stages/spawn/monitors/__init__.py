"""The run monitors: one file for each condition that is checked while an agent runs."""

from __future__ import annotations

from typing import Protocol


class Monitor(Protocol):
    """One condition of a running agent; the executor checks it about five times a second."""

    def check(self) -> None:
        """Check the condition if a check is due; never block.

        Raises:
            AgentFailed: the agent must end; a subclass names the cause.
        """
