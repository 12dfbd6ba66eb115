"""Ends an agent that reaches its time limit, and warns before."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.errors import (
    AgentTimedOut,
    TransitionRefused,
)
from orchestrator.leases.holder import AgentLeases
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.models.warning import AgentWarning, WarningCode
from orchestrator.settings import Settings
from orchestrator.stages.spawn.monitors.tokens import CHECK_EVERY_S, WARNED_AT
from orchestrator.store import budget

log = get_logger("monitors")


@dataclass
class TimeMonitor:
    """One agent's time, over all its attempts; the limit in force when it is reached counts."""

    holder: AgentLeases
    settings: Settings
    agent: AgentState
    clock: Callable[[], float] = time.monotonic
    _started_s: float = field(init=False)
    _next_s: float = field(init=False)
    _is_reported: bool = False

    def __post_init__(self) -> None:
        """Go on from where the attempts before this one were."""
        self._next_s = self.clock()
        self._started_s = self._next_s - self.agent.ran_s

    def check(self) -> None:
        """Look if it is time.

        Raises:
            AgentTimedOut: it has used up its time.
        """
        now_s = self.clock()
        if now_s < self._next_s:
            return
        limit_s = self.holder.store.follow(budget.limits(self.settings)).time_s
        used_s = now_s - self._started_s
        self.record()
        if used_s >= limit_s:
            msg = f"The agent ran for {used_s:.0f} s, its limit is {limit_s:.0f} s."
            raise AgentTimedOut(msg)
        warned_s = limit_s * WARNED_AT
        if used_s >= warned_s and not self._is_reported:
            self._is_reported = True
            left_s = limit_s - used_s
            text = f"The agent has {left_s:.0f} s left of {limit_s:.0f} s."
            warning = AgentWarning(code=WarningCode.TIME_RUNNING_OUT, text=text)
            self.holder.warn(self.agent, warning)
        due_s = limit_s if self._is_reported else warned_s
        self._next_s = min(self._started_s + due_s, now_s + CHECK_EVERY_S)

    def record(self) -> None:
        """Write how long the agent has run, for the attempts after this one."""
        ran_s = round(self.clock() - self._started_s, 3)
        try:
            self.holder.update(self.agent, {"ranS": ran_s})
        except TransitionRefused as refusal:
            # Ended by another meanwhile: the lease tells at its next check.
            log.info("time not noted", agentId=self.agent.agent_id, reason=str(refusal))
