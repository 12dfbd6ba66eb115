"""Watches what one running agent spends: its tokens as they come, its meter, and its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.budget import Budget
from orchestrator.errors import (
    AgentTimedOut,
    AgentTimeRunningOut,
    BudgetExceeded,
    MeterSilent,
    TransitionRefused,
)
from orchestrator.lifecycle.holder import Holder
from orchestrator.lifecycle.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.transcript import Transcript

#: Of an agent's time, before it is warned.
_WARNED_AT = 0.8
#: A limit of time that is changed is seen within this.
_LOOKS_EVERY_S = 15.0

log = get_logger("metering")


@dataclass
class TokenWatch:
    """One agent's tokens: each report is in the day's account before its next words are read."""

    holder: Holder
    settings: Settings
    agent: AgentState
    lease: Lease
    transcript: Transcript
    #: What is written with the tokens.
    facts: Callable[[], dict[str, object]]
    reports_usage: bool
    clock: Callable[[], float] = time.monotonic
    _settled: int = 0
    #: What the agent had said at the last report, and when it first said more.
    _words: int = 0
    _silent_since_s: float | None = None
    _is_told: bool = False

    def look(self) -> None:
        """Settle what is new.

        Raises:
            BudgetExceeded: the agent has nothing left to spend, and the mode is hard.
            MeterSilent: it works without a report of tokens, and the mode is hard.
        """
        tokens, overrun = self.transcript.spent.total_tokens, self.lease.overrun
        if tokens != self._settled:
            try:
                overrun = self.holder.settle(self.agent, self.facts())
            except TransitionRefused as refusal:
                # Ended by another meanwhile: the lease tells at its next check.
                log.info("not settled", agentId=self.agent.agent_id, reason=str(refusal))
            self._settled, self._words = tokens, self.transcript.words
            self._silent_since_s = None
        if overrun:
            raise BudgetExceeded(overrun)
        if self.reports_usage:
            self._look_at_meter()

    def _look_at_meter(self) -> None:
        # What it says costs tokens; what its tools compute meanwhile does not.
        if self.transcript.words == self._words:
            return
        self._words, now_s = self.transcript.words, self.clock()
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        silent_s = now_s - self._silent_since_s
        if silent_s < self.settings.meter_silence_s:
            return
        silent = MeterSilent(f"The agent has reported no tokens for {silent_s:.0f} s of work.")
        if self.settings.budget_mode == "hard":
            raise silent
        if not self._is_told:
            self._is_told = True
            self.holder.warn(self.agent, silent)


@dataclass
class TimeWatch:
    """One agent's time, over all its attempts; the limit in force when it is reached counts."""

    holder: Holder
    budget: Budget
    agent: AgentState
    clock: Callable[[], float] = time.monotonic
    _started_s: float = field(init=False)
    _next_s: float = field(init=False)
    _is_told: bool = False

    def __post_init__(self) -> None:
        """Go on from where the attempts before this one were."""
        self._next_s = self.clock()
        self._started_s = self._next_s - self.agent.ran_s

    def look(self) -> None:
        """Look if it is time.

        Raises:
            AgentTimedOut: it has used up its time.
        """
        now_s = self.clock()
        if now_s < self._next_s:
            return
        limit_s = self.holder.store.follow(self.budget.limits()).time_s
        used_s = now_s - self._started_s
        self.note()
        if used_s >= limit_s:
            msg = f"The agent ran for {used_s:.0f} s, its limit is {limit_s:.0f} s."
            raise AgentTimedOut(msg)
        warned_s = limit_s * _WARNED_AT
        if used_s >= warned_s and not self._is_told:
            self._is_told = True
            left_s = limit_s - used_s
            warning = AgentTimeRunningOut(f"The agent has {left_s:.0f} s left of {limit_s:.0f} s.")
            self.holder.warn(self.agent, warning)
        due_s = limit_s if self._is_told else warned_s
        self._next_s = min(self._started_s + due_s, now_s + _LOOKS_EVERY_S)

    def note(self) -> None:
        """Write how long the agent has run, for the attempts after this one."""
        ran_s = round(self.clock() - self._started_s, 3)
        try:
            self.holder.update(self.agent, {"ranS": ran_s})
        except TransitionRefused as refusal:
            # Ended by another meanwhile: the lease tells at its next check.
            log.info("time not noted", agentId=self.agent.agent_id, reason=str(refusal))
