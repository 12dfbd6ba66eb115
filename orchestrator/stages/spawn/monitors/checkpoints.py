"""The schedule of the checkpoints of a running agent."""

from __future__ import annotations

import time

from orchestrator.stages.spawn.context import RunContext

#: The end of a turn causes a checkpoint, if the last one is at least this old.
TURN_PAUSE_S = 15.0


class CheckpointMonitor:
    """Makes a checkpoint every `every_s` seconds and at the end of a turn."""

    def __init__(
        self, context: RunContext, *, every_s: float, turn_pause_s: float = TURN_PAUSE_S
    ) -> None:
        self._context = context
        self._every_s = every_s
        self._turn_pause_s = min(turn_pause_s, every_s)
        self._made_at_s = time.monotonic()
        self._turns = 0

    def check(self) -> None:
        """Make a checkpoint if one is due.

        Raises:
            AgentKilled: a kill arrived during the capture; also the other errors of `Lease.check`.
        """
        since_s = time.monotonic() - self._made_at_s
        # A new message of the model means that the turn before it, with its tools, is over.
        turns = self._context.transcript.messages
        if since_s < self._every_s and (turns == self._turns or since_s < self._turn_pause_s):
            return
        self._context.checkpoint()
        self._made_at_s, self._turns = time.monotonic(), turns
