"""Watches one running agent for a stall, reports it, and does what the policy says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from orchestrator.agent_output.reader import OutputReader
from orchestrator.errors import AgentRestarting, AgentStalled
from orchestrator.interfaces.sandbox import SandboxProcess
from orchestrator.leases.holder import AgentLeases
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.stages.spawn.monitors.activity import Activity

#: Reading the processor time of a tree costs a walk through /proc.
_CHECKS_IN_STALL = 10
_MOST_SECONDS = 15.0

log = get_logger("stall")


@dataclass
class StallMonitor:
    """One agent's; `ORCHESTRATOR_STALL` is how long it may get nowhere."""

    holder: AgentLeases
    settings: Settings
    agent: AgentState
    process: SandboxProcess
    transcript: OutputReader
    _activity: Activity = field(default_factory=lambda: Activity(time.monotonic))
    _next_s: float = 0.0
    _is_reported: bool = False

    def check(self) -> None:
        """Measure the activity if it is time to.

        Raises:
            AgentRestarting: it is stuck, and the policy is to let another attempt go on.
            AgentStalled: it is stuck, and the policy is to end it.
        """
        if time.monotonic() < self._next_s:
            return
        stall_s = self.settings.stall_s
        self._next_s = time.monotonic() + min(stall_s / _CHECKS_IN_STALL, _MOST_SECONDS)
        self._activity.record(
            output=self.transcript.output_bytes,
            tokens=self.transcript.spent.total_tokens,
            cpu_s=self.process.cpu_s(),
        )
        still_s = self._activity.still_for_s()
        is_stalled = still_s >= stall_s
        if is_stalled != self._is_reported:
            self._is_reported = is_stalled
            self.holder.report_stall(self.agent, for_s=still_s if is_stalled else None)
            log.warning("stalled" if is_stalled else "active again", agentId=self.agent.agent_id)
        if is_stalled and self.settings.stall_policy != "report":
            is_last = self.settings.stall_policy == "fail"
            msg = f"The agent had no output, tokens or processor time for {still_s:.0f} s."
            raise (AgentStalled if is_last else AgentRestarting)(msg)
