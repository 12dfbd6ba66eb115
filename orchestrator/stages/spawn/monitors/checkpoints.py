"""The schedule of the checkpoints of a running agent."""

from __future__ import annotations

import time

from orchestrator.errors import StoreRefused
from orchestrator.log import get_logger
from orchestrator.stages.spawn.context import RunContext
from orchestrator.store.patience import not_waiting_for_space

#: The end of a turn causes a checkpoint, if the last one is at least this old.
TURN_PAUSE_S = 15.0

log = get_logger("monitors")


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
        """Make a checkpoint if one is due; one that Valkey has no space for is left out.

        Raises:
            AgentKilled: a kill arrived during the capture; also the other errors of `Lease.check`.
        """
        since_s = time.monotonic() - self._made_at_s
        # A new message of the model means that the turn before it, with its tools, is over.
        turns = self._context.transcript.messages
        if since_s < self._every_s and (turns == self._turns or since_s < self._turn_pause_s):
            return
        try:
            with not_waiting_for_space():
                self._context.checkpoint()
        except StoreRefused as refusal:
            agent_id = self._context.agent.agent_id
            log.warning("no checkpoint", agentId=agent_id, reason=str(refusal))
        self._made_at_s, self._turns = time.monotonic(), turns
