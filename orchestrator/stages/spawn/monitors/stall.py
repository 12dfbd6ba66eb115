"""The stall monitor: reports a running agent without activity and applies the stall policy."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from orchestrator.agent_output.reader import OutputReader
from orchestrator.errors import AgentRestarting, AgentStalled
from orchestrator.interfaces.sandbox import SandboxProcess
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.stages.spawn.monitors.activity import Activity

#: Checks are limited, because reading the processor time of a tree scans /proc.
_CHECKS_IN_STALL = 10
_MOST_SECONDS = 15.0

log = get_logger("stall")


@dataclass
class StallMonitor:
    """Checks one agent; `ORCHESTRATOR_STALL` limits its time without activity."""

    holder: AgentLeases
    settings: Settings
    agent: AgentState
    process: SandboxProcess
    transcript: OutputReader
    _activity: Activity = field(default_factory=lambda: Activity(time.monotonic))
    _next_s: float = 0.0
    _is_reported: bool = False

    def check(self) -> None:
        """Measure the activity if a measurement is due; write a stall or its end to the state.

        Raises:
            AgentRestarting: the agent is stalled, and the policy starts another attempt.
            AgentStalled: the agent is stalled, and the policy ends it.
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
