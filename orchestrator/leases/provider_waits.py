"""What becomes of an agent whose provider is at its limit: it waits, or it falls back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.errors import OrchestratorError, TransitionRefused
from orchestrator.leases.attempt_result import AwaitProvider, Reschedule
from orchestrator.leases.fallbacks import Switch, free_choice, without_present
from orchestrator.leases.retry_policy import RecoveryPolicy
from orchestrator.models import AgentState, iso_instant
from orchestrator.store import agent_transitions, agents, provider_limits
from orchestrator.store.agent_transitions import FallbackStep
from orchestrator.store.client import Store
from orchestrator.store.provider_limits import limited_until_ms
from orchestrator.store.transition import now_ms


@dataclass(frozen=True)
class ProviderWaits:
    """Reads and writes the limits of providers for the leases of one worker."""

    store: Store
    policy: RecoveryPolicy

    def before_claim(self, agent: AgentState, now: datetime) -> FallbackStep | None:
        """Return the fallback with which a waiting agent starts; None if its provider is free.

        Raises:
            TransitionRefused: the providers of all its choices are at their limits; it waits for
                the first that is free again.
        """
        limits = self.store.run(provider_limits.read_limits())
        if limits.get(agent.current.name, 0) <= now_ms(now):
            return None
        if switch := free_choice(agent, limits, now):
            return switch.step(now)
        until = now + timedelta(milliseconds=limited_until_ms(agent, limits) - now_ms(now))
        waits = agent_transitions.delay(agent, until=until + self.policy.provider_jitter(), now=now)
        self.store.run(waits)
        msg = f"No agent of {agent.current.name} starts before {iso_instant(until)}."
        raise TransitionRefused(msg)

    def after_limit(
        self, agent: AgentState, result: AwaitProvider, now: datetime
    ) -> tuple[Reschedule, Switch | None]:
        """Record the limit for all agents of this backend and model; return how this goes on."""
        # The attempt may have written the model of its repository since its claim.
        now_is = self.store.run(agents.find(agent.agent_id))
        if now_is is not None and now_is.attempt == agent.attempt:
            agent = now_is
        step = provider_limits.limit_provider(agent.current, until=result.until, now=now)
        self.store.run(step)
        limits = self.store.run(provider_limits.read_limits())
        if switch := free_choice(agent, limits, now):
            return Reschedule(result.error), switch
        left_ms = max(limited_until_ms(agent, limits) - now_ms(now), 0)
        return Reschedule(result.error, left_ms / 1000 + result.jitter_s), None

    def without_choice(
        self, agent: AgentState, error: OrchestratorError, now: datetime
    ) -> tuple[Reschedule, Switch]:
        """Return how an agent goes on without a fallback that cannot be started."""
        limits = self.store.run(provider_limits.read_limits())
        switch, delay_s = without_present(agent, limits, now, error)
        return Reschedule(error, delay_s), switch
