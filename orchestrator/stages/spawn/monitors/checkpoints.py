"""Decides when a running agent's work is checkpointed."""

from __future__ import annotations

import time

from orchestrator.stages.spawn.context import RunContext

#: The end of a turn is a moment to keep the work, but not sooner than this after the last one.
TURN_PAUSE_S = 15.0


class CheckpointMonitor:
    """Tells when a running agent's work is to be kept: by the clock, and at the end of a turn."""

    def __init__(
        self, context: RunContext, *, every_s: float, turn_pause_s: float = TURN_PAUSE_S
    ) -> None:
        self._part = context
        self._every_s = every_s
        self._turn_pause_s = min(turn_pause_s, every_s)
        self._kept_at = time.monotonic()
        self._turns = 0

    def check(self) -> None:
        """Keep the work if it is time to."""
        since_s = time.monotonic() - self._kept_at
        # The next message of the model begins where a turn, with what its tools did, is over.
        turns = self._part.transcript.messages
        if since_s < self._every_s and (turns == self._turns or since_s < self._turn_pause_s):
            return
        self._part.checkpoint()
        self._kept_at, self._turns = time.monotonic(), turns
