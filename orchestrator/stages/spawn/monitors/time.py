"""The time monitor: warns before the time limit of an agent and ends the agent at the limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.errors import (
    AgentTimedOut,
    TransitionRefused,
)
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.models.warning import AgentWarning, WarningCode
from orchestrator.settings import Settings
from orchestrator.stages.spawn.monitors.tokens import CHECK_EVERY_S, WARNED_AT
from orchestrator.store import budget

log = get_logger("monitors")


@dataclass
class TimeMonitor:
    """Counts one agent's time over all its attempts; a limit changed at run time applies."""

    holder: AgentLeases
    settings: Settings
    agent: AgentState
    clock: Callable[[], float] = time.monotonic
    _started_s: float = field(init=False)
    _next_s: float = field(init=False)
    _is_reported: bool = False

    def __post_init__(self) -> None:
        """Start from the time of the earlier attempts."""
        self._next_s = self.clock()
        self._started_s = self._next_s - self.agent.ran_s

    def check(self) -> None:
        """Compare the time with the limit if a check is due; write the time to the state.

        Raises:
            AgentTimedOut: the agent has reached its time limit.
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
        """Write the seconds that the agent has run to its state, for later attempts."""
        ran_s = round(self.clock() - self._started_s, 3)
        try:
            self.holder.update(self.agent, {"ranS": ran_s})
        except TransitionRefused as refusal:
            # Another process has ended the agent; the next check of the lease raises.
            log.info("time not recorded", agentId=self.agent.agent_id, reason=str(refusal))
