"""The retry policy: which error of an attempt is retried, when, and which ends the agent."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orchestrator.errors import (
    AgentKilled,
    AttemptStale,
    CoordinatorUnavailable,
    DiskFull,
    FallbackUnavailable,
    HostExhausted,
    LeaseLost,
    OrchestratorError,
    ProviderLimited,
    PushFailed,
    StoreRefused,
    StoreUnreachable,
    TransitionRefused,
    WorkerStopping,
)
from orchestrator.leases.attempt_result import (
    Abandon,
    AwaitProvider,
    Fail,
    NotOurs,
    Reschedule,
    RetryDecision,
)
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.retry import calculate_backoff_delay

#: Valkey cannot be asked, or did not answer for nearly as long as the lease.
_UNWRITABLE = (StoreUnreachable, StoreRefused, LeaseLost)
#: A step is refused to an attempt whose agent is no longer where the attempt left it.
_NOT_OURS = (AgentKilled, AttemptStale, TransitionRefused)
#: The code that raises these has retried already, or no other choice is left.
_RETRIED = (CoordinatorUnavailable, FallbackUnavailable, PushFailed)

log = get_logger("lifecycle")


def known_error(error: Exception, agent: AgentState) -> OrchestratorError:
    """Return an error as one of ours; at this process edge any other is logged, and fails it."""
    if isinstance(error, OrchestratorError):
        return error
    if DiskFull.is_cause_of(error):
        # Wherever it was written: a full disk is a fault of the host.
        return DiskFull(f"{error}.")
    if HostExhausted.is_cause_of(error):
        return HostExhausted(f"{type(error).__name__}: {error}.")
    log.error("unexpected", agentId=agent.agent_id, exc_info=error)
    return OrchestratorError(f"{type(error).__name__}: {error}.")


@dataclass(frozen=True)
class RecoveryPolicy:
    """The delays of retries: backoff of recoveries, and waits for a provider."""

    base_s: float = 1.0
    cap_s: float = 300.0
    #: How long an agent waits at least for processes or descriptors of its host, in each recovery:
    #: other programs have to end first.
    host_wait_s: float = 60.0
    #: How long agents wait for a provider that does not say when it takes requests again.
    provider_wait_s: float = 60.0
    #: The longest wait that a provider can ask for at a time.
    provider_wait_at_most_s: float = 86_400.0
    #: Agents that wait for one provider start again over this long, not all at once.
    provider_jitter_s: float = 15.0
    #: Returns a number in [0, 1).
    jitter: Callable[[], float] = random.random

    def decide(self, error: OrchestratorError, agent: AgentState, now: datetime) -> RetryDecision:
        """Return what becomes of an agent whose attempt ended with this error; pure.

        - Valkey unreachable: nothing can be written, so the lease runs out.
        - Killed, or another attempt's: nothing is written.
        - The provider's limit, a fallback that cannot be started, or a worker that stops: another
          attempt, and no recovery is spent.
        - Any other retryable error: a recovery with exponential backoff, or after a longer wait for
          a host without processes or descriptors, while there is one left.
        - Everything else, and what was retried already: the agent fails.
        """
        if isinstance(error, _UNWRITABLE):
            return Abandon(error)
        if isinstance(error, _NOT_OURS):
            return NotOurs(error)
        if isinstance(error, ProviderLimited):
            return self._await_provider(error, now)
        has_other_choice = isinstance(error, FallbackUnavailable) and len(agent.all_choices) > 1
        if isinstance(error, WorkerStopping) or has_other_choice:
            return Reschedule(error)
        if error.retryable and not isinstance(error, _RETRIED):
            return self.recover(error, agent)
        return Fail(error)

    def recover(self, error: OrchestratorError, agent: AgentState) -> Reschedule | Fail:
        """Return the next attempt after an error that is not the agent's fault, if one is left.

        Each recovery waits longer than the one before.
        """
        if agent.recoveries >= agent.max_retries:
            return Fail(error)
        delay_s = calculate_backoff_delay(
            agent.recoveries + 1, self.base_s, self.cap_s, jitter=self.jitter
        )
        if isinstance(error, HostExhausted):
            delay_s = self.host_wait_s * (1 + self.jitter())
        return Reschedule(error, delay_s, counts=True)

    def provider_jitter(self) -> timedelta:
        """Return how much longer one of the agents that wait for a provider waits."""
        return timedelta(seconds=self.provider_jitter_s * self.jitter())

    def _await_provider(self, error: ProviderLimited, now: datetime) -> AwaitProvider:
        until = now + timedelta(seconds=self.provider_wait_s)
        if error.resets_at_s is not None:
            stated = datetime.fromtimestamp(error.resets_at_s, UTC)
            latest = now + timedelta(seconds=self.provider_wait_at_most_s)
            until = min(max(stated, now), latest)
        return AwaitProvider(error, until, self.provider_jitter().total_seconds())
