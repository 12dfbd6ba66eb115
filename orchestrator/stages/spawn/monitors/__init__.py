"""What is checked while an agent runs, one file for each concern."""

from __future__ import annotations

from typing import Protocol


class Monitor(Protocol):
    """One concern of a running agent; the executor calls each in turn, many times a second."""

    def check(self) -> None:
        """Do what is due, and return at once where nothing is.

        Raises:
            AgentFailed: the agent must end, and why; a subclass says more.
        """
