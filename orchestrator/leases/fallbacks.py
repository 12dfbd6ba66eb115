"""Fallbacks: the choice of backend and model while providers are at their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.models import AgentState, FallbackRecord, ModelChoice
from orchestrator.models.model_choice import MOST_FALLBACK_RECORDS
from orchestrator.store.agent_transitions import FallbackStep
from orchestrator.store.provider_limits import Limits
from orchestrator.store.transition import now_ms


@dataclass(frozen=True)
class Switch:
    """The change of an agent to another of its choices, with the reason that the event states."""

    agent: AgentState
    #: All choices after the change, and the number of the new one among them.
    choices: tuple[ModelChoice, ...]
    number: int
    reason: str
    reason_code: str

    def step(self, now: datetime) -> FallbackStep:
        """Return the change as a part of the agent's next step."""
        before = self.agent.current.name
        return FallbackStep(before, self._facts(now), self.reason, self.reason_code)

    def _facts(self, now: datetime) -> dict[str, Any]:
        agent, chosen = self.agent, self.choices[self.number]
        record = FallbackRecord(
            at=now, from_choice=agent.current.name, to=chosen.name, reason=self.reason_code
        )
        records = (*(agent.fell_back or ()), record)[-MOST_FALLBACK_RECORDS:]
        facts: dict[str, Any] = {
            "agent": chosen.agent,
            "model": chosen.model,
            "effort": chosen.effort,
            "choice": self.number or None,
            "choices": [one.wire() for one in self.choices],
            "fellBack": [one.wire() for one in records],
        }
        if agent.session_id:
            owner = agent.session_agent or agent.agent
            facts["sessionAgent"] = None if owner == chosen.agent else owner
        return facts


def free_choice(agent: AgentState, limits: Limits, now: datetime) -> Switch | None:
    """Return the change to the next choice in order whose provider is free, if there is one.

    The order begins after the present choice and ends with the one before it.
    """
    number = _first_free(agent.all_choices, (agent.choice or 0) + 1, limits, now)
    if number is None or agent.all_choices[number].name == agent.current.name:
        return None
    until = _instant(limits.get(agent.current.name, 0), now)
    reason = f"The provider of {agent.current.name} is at its limit until {until:%H:%M} UTC."
    return Switch(agent, agent.all_choices, number, reason, "provider_limited")


def without_present(
    agent: AgentState, limits: Limits, now: datetime, error: OrchestratorError
) -> tuple[Switch, float]:
    """Return the change that removes a fallback which cannot be started, and the delay in seconds.

    If the providers of all other choices are at their limits, it is to the first that is free
    again.
    """
    number = agent.choice or 0
    rest = (*agent.all_choices[:number], *agent.all_choices[number + 1 :])
    free = _first_free(rest, number, limits, now)
    delay_s = 0.0
    if free is None:
        free = min(range(len(rest)), key=lambda at: limits.get(rest[at].name, 0))
        delay_s = max(limits.get(rest[free].name, 0) - now_ms(now), 0) / 1000
    return Switch(agent, rest, free, error.detail, error.code), delay_s


def _first_free(
    choices: Sequence[ModelChoice], start: int, limits: Limits, now: datetime
) -> int | None:
    order = ((start + step) % len(choices) for step in range(len(choices)))
    now_is = now_ms(now)
    return next((at for at in order if limits.get(choices[at].name, 0) <= now_is), None)


def _instant(at_ms: int, now: datetime) -> datetime:
    return now + timedelta(milliseconds=at_ms - now_ms(now))
