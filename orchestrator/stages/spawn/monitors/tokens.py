"""The token monitor: charges the tokens of a running agent and detects missing reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

from orchestrator.agent_output.reader import OutputReader
from orchestrator.errors import (
    BudgetExceeded,
    PriceUnknown,
    TransitionRefused,
    UsageReportsMissing,
)
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Usage
from orchestrator.models.warning import AgentWarning, WarningCode
from orchestrator.settings import Settings
from orchestrator.stages.spawn.model_requests import ModelRequests
from orchestrator.store import budget

#: The share of a limit at which an agent gets a warning.
WARNED_AT = 0.8
#: A time limit that is changed at run time applies within this.
CHECK_EVERY_S = 15.0

log = get_logger("monitors")


@dataclass
class TokenMonitor:
    """Charges one agent's tokens to the budget before more of its output is read."""

    holder: AgentLeases
    settings: Settings
    agent: AgentState
    lease: Lease
    transcript: OutputReader
    #: Returns the fields of the state that are written with the tokens.
    facts: Callable[[], dict[str, object]]
    reports_usage: bool
    #: The requests that the egress proxy admits; None if none stands between.
    requests: ModelRequests | None = None
    clock: Callable[[], float] = time.monotonic
    _settled: Usage = field(default_factory=Usage)
    #: The count of words at the last report, and the time of the first word after it.
    _words: int = 0
    _silent_since_s: float | None = None
    _is_reported: bool = False
    _is_refusal_reported: bool = False

    def check(self) -> None:
        """Charge the tokens that were reported since the last check.

        Raises:
            BudgetExceeded: a limit is exceeded, and the budget mode is hard.
            PriceUnknown: dollars are limited, a model has no price, and the mode is hard.
            UsageReportsMissing: the agent works without reports of tokens, and the mode is hard.
        """
        with self.requests.paused() if self.requests else nullcontext():
            self._charge()
        if self.reports_usage:
            self._check_usage_reports()

    def _charge(self) -> None:
        # Before the count is read, so that it includes their usage.
        requests = self.requests
        finished = requests.drain_finished() if requests else []
        spent, overrun = self.transcript.spent, ""
        if spent != self._settled:
            try:
                overrun = self.holder.charge(self.agent, self.facts())
            except TransitionRefused as refusal:
                # Another process has ended the agent; the next check of the lease raises.
                log.info("tokens not charged", agentId=self.agent.agent_id, reason=str(refusal))
            self._settled, self._words = spent, self.transcript.words
            self._silent_since_s = None
            if unpriced := self.transcript.unpriced:
                self._check_price(min(unpriced))
        if requests and finished:
            requests.close(finished)
        if self.transcript.refused_usage and not self._is_refusal_reported:
            self._is_refusal_reported = True
            text = f"A report was not counted. {self.transcript.refused_usage}"
            warning = AgentWarning(code=WarningCode.USAGE_REFUSED, text=text)
            self.holder.warn(self.agent, warning)
        if not (requests and requests.has_open):
            # An open request has its tokens, and a response that is cut is charged only in part.
            # What the heartbeat read may be older than the admission.
            overrun = overrun or self.lease.overrun or (requests.refusal if requests else "")
        if overrun:
            raise BudgetExceeded(overrun)
        if requests and requests.unpriced:
            raise _price_unknown(requests.unpriced)

    def _check_price(self, model: str) -> None:
        in_force = self.holder.store.follow(budget.limits(self.settings))
        dollars = (in_force.daily_usd, in_force.agent_usd, self.agent.max_cost_usd)
        if in_force.mode == "hard" and any(one is not None for one in dollars):
            raise _price_unknown(model)

    def _check_usage_reports(self) -> None:
        # Messages of the model cost tokens; the running time of tools does not.
        if self.transcript.words == self._words:
            return
        self._words, now_s = self.transcript.words, self.clock()
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        silent_s = now_s - self._silent_since_s
        if silent_s < self.settings.usage_silence_s:
            return
        text = f"The agent has reported no tokens for {silent_s:.0f} s of work."
        if self.holder.store.follow(budget.limits(self.settings)).mode == "hard":
            raise UsageReportsMissing(text)
        if not self._is_reported:
            self._is_reported = True
            warning = AgentWarning(code=WarningCode.USAGE_REPORTS_MISSING, text=text)
            self.holder.warn(self.agent, warning)


def _price_unknown(model: str) -> PriceUnknown:
    return PriceUnknown(f"The model {model or 'of the agent'} has no price.")
