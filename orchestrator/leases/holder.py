"""What a pool worker does with the agents it holds: claim, keep, move on, end. Blocking."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.errors import (
    AgentKilled,
    AttemptStale,
    BudgetExceeded,
    CoordinatorUnavailable,
    Halted,
    LeaseLost,
    NoSlotFree,
    NotFound,
    OrchestratorError,
    ProviderLimited,
    PushFailed,
    StoreRefused,
    StoreUnreachable,
    TransitionRefused,
    WorkerStopping,
)
from orchestrator.leases.kill_confirmation import KillConfirmation
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Status, iso_instant
from orchestrator.models.state_machine import FINAL
from orchestrator.models.warning import AgentWarning
from orchestrator.retry import calculate_backoff_delay
from orchestrator.store import agent_transitions, agents, changes, provider_limits
from orchestrator.store.client import Store
from orchestrator.store.operations import Operation
from orchestrator.store.transition import Moved, now_ms

#: Whoever raises these has tried again already.
_RETRIED = (CoordinatorUnavailable, PushFailed)

#: How long agents wait for a provider that does not say when it takes requests again.
LIMITED_S = 60.0
#: What it says is its word: no longer than a day is waited at a time.
LIMITED_AT_MOST_S = 86_400.0
#: They start again over this long, not all at once.
JITTER_S = 15.0

log = get_logger("lifecycle")


@dataclass(frozen=True)
class AgentLeases:
    """One worker's hands on the record of agents; binds the store, the clock and its name."""

    store: Store
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    worker: str
    lease_s: float
    #: This process, as `pid:start`: who finds an agent of it can tell whether it lives.
    process: str
    #: What marks the programs of this system on a host.
    system: str = ""
    #: The leases this process holds, by agent.
    held: dict[str, Lease] = field(default_factory=dict)
    #: What it says of those it held.
    confirmation: KillConfirmation = field(init=False)

    def __post_init__(self) -> None:
        """Become a witness of what this process holds."""
        object.__setattr__(self, "confirmation", KillConfirmation(self.store, self.process))

    def claim(self, agent_id: str) -> AgentState | None:
        """Claim a queued agent; None if there is nothing to do: taken, ended, or it waits."""

        def step(agent: AgentState) -> Operation[Moved]:
            now = self.clock()
            until_ms = self.store.run(provider_limits.limited_until_ms(agent.agent))
            if until_ms > now_ms(now):
                until = now + timedelta(milliseconds=until_ms - now_ms(now))
                self.store.run(agent_transitions.delay(agent, until=_jittered(until), now=now))
                msg = f"No agent of {agent.agent} starts before {iso_instant(until)}."
                raise TransitionRefused(msg)
            tag = self.new_id()
            return agent_transitions.claim(
                agent, self.worker, self.process, lease_s=self.lease_s, now=now, tag=tag
            )

        return self._claim(agent_id, step)

    def claim_for_gates(self, agent_id: str, attempt: int) -> AgentState | None:
        """Take an agent to its gates; None if there is nothing to do."""

        def step(agent: AgentState) -> Operation[Moved]:
            handed = agent.model_copy(update={"attempt": attempt})
            return agent_transitions.claim_for_gates(
                handed, self.worker, self.process, lease_s=self.lease_s, now=self.clock()
            )

        return self._claim(agent_id, step)

    @contextmanager
    def holding(self, agent: AgentState) -> Iterator[Lease]:
        """Hold a taken agent; whatever ends the work inside is written as the end of the agent.

        Nothing leaves here. When this is left after a kill, nothing the worker started for the
        agent runs any more, and the kill's receipt says so.
        """
        marks = {
            "ORCH_AGENT_ID": agent.agent_id,
            "ORCH_SYSTEM": self.system,
            "ORCH_OWNER": self.process,
        }
        lease = Lease(self.store, agent, lease_s=self.lease_s, clock=self.clock, marks=marks)
        self.held[agent.agent_id] = lease
        try:
            with self._ending(agent, lease), lease:
                yield lease
        finally:
            # Another thread of this process may hold the next attempt by now.
            if self.held.get(agent.agent_id) is lease:
                del self.held[agent.agent_id]
        # Once it is let go of, it is another's to see dead.
        if not lease.is_released:
            self.confirmation.confirm_if_killed(lease)

    def revoke(self, agent_id: str) -> None:
        """Hear that an agent was killed; what this process runs for it is ended at once."""
        if lease := self.held.get(agent_id):
            lease.revoke()

    def stop(self) -> None:
        """Give every agent back: this process is asked to end."""
        for lease in list(self.held.values()):
            lease.stop()

    def start(self, agent: AgentState, *, base_commit: str) -> AgentState:
        """Say that the agent's process runs; raises as `moves.move` does."""
        step = agent_transitions.start(
            agent, base_commit=base_commit, lease_s=self.lease_s, now=self.clock()
        )
        return self.store.run(step).state

    def update(self, agent: AgentState, patch: Mapping[str, Any]) -> AgentState:
        """Write facts of this attempt; raises as `moves.move` does."""
        return self.store.run(agent_transitions.update(agent, patch, now=self.clock())).state

    def charge(self, agent: AgentState, patch: Mapping[str, Any]) -> str:
        """Write what was spent; returns the limit that leaves nothing to spend, if there is one.

        Raises as `moves.move` does.
        """
        return self.store.run(agent_transitions.update(agent, patch, now=self.clock())).overrun

    def warn(self, agent: AgentState, warning: AgentWarning) -> None:
        """Tell by an event what may end the agent; who has ended already is not warned."""
        try:
            self.store.run(agent_transitions.warn(agent, warning, now=self.clock()))
        except TransitionRefused as refusal:
            log.info("not warned", agentId=agent.agent_id, reason=str(refusal))
        else:
            log.warning("warned", agentId=agent.agent_id, code=warning.code, text=warning.text)

    def report_stall(self, agent: AgentState, *, for_s: float | None) -> None:
        """Say that the agent is stuck, or with None that it moves again."""
        now = self.clock()
        since = None if for_s is None else now - timedelta(seconds=for_s)
        self.store.run(agent_transitions.stall(agent, since=since, now=now))

    def enqueue_for_gates(self, agent: AgentState, patch: Mapping[str, Any]) -> None:
        """Give the agent to the gates pool; raises as `moves.move` does."""
        self.store.run(
            agent_transitions.enqueue_for_gates(agent, patch, now=self.clock(), tag=self.new_id())
        )
        self._release(agent)

    def request_rework(self, agent: AgentState, patch: Mapping[str, Any]) -> None:
        """Give a rejected agent back for another round; raises as `moves.move` does."""
        self.store.run(
            agent_transitions.request_rework(agent, patch, now=self.clock(), tag=self.new_id())
        )
        self._release(agent)

    def complete(self, agent: AgentState, patch: Mapping[str, Any]) -> None:
        """End the agent well; raises as `moves.move` does."""
        self.store.run(
            agent_transitions.end(
                agent, Status.COMPLETED, now=self.clock(), tag=self.new_id(), patch=patch
            )
        )

    def fail(
        self,
        agent: AgentState,
        error: OrchestratorError,
        patch: Mapping[str, Any] | None = None,
        *,
        only_expired: bool = False,
    ) -> None:
        """End the agent as failed; who was ended by another already stays as it is."""
        step = agent_transitions.end(
            agent,
            Status.FAILED,
            now=self.clock(),
            tag=self.new_id(),
            patch=patch,
            error=error,
            only_expired=only_expired,
        )
        try:
            self.store.run(step)
        except (TransitionRefused, NotFound) as refusal:
            log.info("not failed", agentId=agent.agent_id, error=str(error), reason=str(refusal))
        else:
            log.info("failed", agentId=agent.agent_id, code=error.code, error=str(error))

    def recover(
        self, agent: AgentState, error: OrchestratorError, *, only_expired: bool = False
    ) -> None:
        """Let another attempt go on after a delay, or end the agent if it has had enough of them.

        What is at fault is not the agent; each loss waits longer than the one before.
        """
        if agent.recoveries >= agent.max_retries:
            self.fail(agent, error, only_expired=only_expired)
            return
        delay_s = calculate_backoff_delay(agent.recoveries + 1)
        if self._reschedule(agent, counts=True, delay_s=delay_s, only_expired=only_expired):
            log.warning("recovering", agentId=agent.agent_id, code=error.code, error=str(error))

    def _wait_for_provider(self, agent: AgentState, error: ProviderLimited) -> None:
        """Let every agent of this backend wait for its provider; no retry is spent on that."""
        now = self.clock()
        until = now + timedelta(seconds=LIMITED_S)
        if error.resets_at_s is not None:
            reported = datetime.fromtimestamp(error.resets_at_s, UTC)
            until = min(max(reported, now), now + timedelta(seconds=LIMITED_AT_MOST_S))
        self.store.run(provider_limits.limit_provider(agent.agent, until=until, now=now))
        delay_s = (_jittered(until) - now).total_seconds()
        if self._reschedule(agent, counts=False, delay_s=delay_s):
            log.warning("parked", agentId=agent.agent_id, backend=agent.agent, until=str(until))

    def _reschedule(
        self, agent: AgentState, *, counts: bool, delay_s: float, only_expired: bool = False
    ) -> bool:
        """Let another attempt go on where this one is; False if it is this one's no more."""
        try:
            now_is = self.store.run(agents.read(agent.agent_id))
            if now_is.status in FINAL:
                log.info("not passed on", agentId=agent.agent_id, reason=now_is.status)
                return False
            has_change = self.store.run(changes.has_change(agent.agent_id, agent.attempt))
            step = agent_transitions.recover(
                # Fenced by this attempt's number, whatever was read.
                now_is.model_copy(update={"attempt": agent.attempt}),
                continues=agent.attempt if has_change else agent.continues_attempt,
                counts=counts,
                delay_s=delay_s,
                now=self.clock(),
                tag=self.new_id(),
                only_expired=only_expired,
            )
            self.store.run(step)
        except (TransitionRefused, NotFound) as refusal:
            log.info("not passed on", agentId=agent.agent_id, reason=str(refusal))
            return False
        return True

    @contextmanager
    def _ending(self, agent: AgentState, lease: Lease) -> Iterator[None]:
        """Write what ends the work inside as the end of the agent.

        Where nothing can be written the lease runs out, and the sweep lets another go on.
        """
        try:
            with self._writing_end(agent, lease):
                yield
        except (StoreUnreachable, StoreRefused, LeaseLost) as error:
            self.confirmation.abandon(lease, error)

    @contextmanager
    def _writing_end(self, agent: AgentState, lease: Lease) -> Iterator[None]:
        try:
            try:
                yield
            except Exception as error:
                if not lease.is_released:
                    # What was ended with the lease has not failed by itself.
                    lease.check_time(error)
                    raise
                log.exception("late error", agentId=agent.agent_id, error=str(error))
        except (StoreUnreachable, StoreRefused, LeaseLost):
            raise
        except (AgentKilled, AttemptStale, TransitionRefused) as end:
            # A step is refused to whom the agent is no longer where it left it: not its to end.
            log.info("stopped", agentId=agent.agent_id, reason=str(end))
        except ProviderLimited as error:
            self._wait_for_provider(agent, error)
        except WorkerStopping:
            if self._reschedule(agent, counts=False, delay_s=0):
                log.info("handed back", agentId=agent.agent_id)
        except OrchestratorError as error:
            self._end_for(agent, error)
        except Exception as error:  # the process edge: logged, and the agent fails
            log.exception("unexpected", agentId=agent.agent_id)
            self.fail(agent, OrchestratorError(f"{type(error).__name__}: {error}."))

    def _end_for(self, agent: AgentState, error: OrchestratorError) -> None:
        if error.retryable and not isinstance(error, _RETRIED):
            self.recover(agent, error)
        else:
            self.fail(agent, error)

    def _release(self, agent: AgentState) -> None:
        # The next worker's token is the same: whatever happens here from now on is not the agent's.
        if lease := self.held.get(agent.agent_id):
            lease.release()

    def _claim(
        self, agent_id: str, step: Callable[[AgentState], Operation[Moved]]
    ) -> AgentState | None:
        try:
            agent = self.store.run(agents.read(agent_id))
            moved = self.store.run(step(agent))
        except (TransitionRefused, NotFound, Halted, NoSlotFree) as refusal:
            # Messages may come twice or late: the state says whether there is work.
            log.info("message dropped", agentId=agent_id, reason=str(refusal))
            return None
        if moved.overrun:
            self.fail(moved.state, BudgetExceeded(moved.overrun))
            return None
        return moved.state


def _jittered(until: datetime) -> datetime:
    """Return an instant shortly after this one, another each time."""
    return until + timedelta(seconds=random.uniform(0, JITTER_S))  # noqa: S311 - no secret
