"""The leases of one worker process: it claims agents, holds them, and writes how attempts end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from orchestrator.errors import (
    AttemptStale,
    BudgetExceeded,
    FallbackUnavailable,
    Halted,
    LeaseLost,
    NoSlotFree,
    NotFound,
    OrchestratorError,
    StoreRefused,
    StoreUnreachable,
    TransitionRefused,
)
from orchestrator.host.tree_records import TreeRecords
from orchestrator.leases.attempt_result import (
    Abandon,
    AttemptResult,
    AwaitProvider,
    Complete,
    EnqueueForGates,
    Fail,
    NotOurs,
    RequestRework,
    Reschedule,
    RetryDecision,
)
from orchestrator.leases.deadlines import DeadlineThread
from orchestrator.leases.fallbacks import Switch
from orchestrator.leases.kill_confirmation import KillConfirmation
from orchestrator.leases.lease import Lease
from orchestrator.leases.provider_waits import ProviderWaits
from orchestrator.leases.retry_policy import RecoveryPolicy, known_error
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Status
from orchestrator.models.state_machine import FINAL
from orchestrator.models.warning import AgentWarning
from orchestrator.store import agent_transitions, agents, changes
from orchestrator.store.client import Store
from orchestrator.store.operations import Operation
from orchestrator.store.patience import waiting_with
from orchestrator.store.transition import Moved

log = get_logger("lifecycle")


@dataclass(frozen=True)
class AgentLeases:
    """One worker's hands on the record of agents; binds the store, the clock and its name."""

    store: Store
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    worker: str
    lease_s: float
    #: This process, as `pid:start@machine.boot`: its own host can tell whether it lives.
    process: str
    system: str = ""
    trees: TreeRecords | None = None
    policy: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    #: The leases this process holds, by agent.
    held: dict[str, Lease] = field(default_factory=dict)
    #: Ends what is held in time, whatever else waits for Valkey.
    deadlines: DeadlineThread = field(default_factory=DeadlineThread)
    #: When claims were sent, by the clock of the deadlines, until the agent is held.
    _claimed_at_s: dict[str, float] = field(default_factory=dict)
    confirmation: KillConfirmation = field(init=False)
    _waits: ProviderWaits = field(init=False)

    def __post_init__(self) -> None:
        proof = KillConfirmation(self.store, self.process, self.trees)
        object.__setattr__(self, "confirmation", proof)
        object.__setattr__(self, "_waits", ProviderWaits(self.store, self.policy))

    def claim(self, agent_id: str) -> AgentState | None:
        """Claim a queued agent; None if there is nothing to do: taken, ended, or it waits."""

        def step(agent: AgentState) -> Operation[Moved]:
            now = self.clock()
            other, tag = self._waits.before_claim(agent, now), self.new_id()
            who, lease_s = (agent, self.worker, self.process), self.lease_s
            return agent_transitions.claim(*who, lease_s=lease_s, now=now, tag=tag, fallback=other)

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

        After a kill, nothing that the worker started for the agent runs, and the receipt says so.
        """
        labels = {"ORCH_AGENT_ID": agent.agent_id, "ORCH_SYSTEM": self.system}
        lease = Lease(
            self.store,
            agent,
            self.deadlines,
            lease_s=self.lease_s,
            clock=self.clock,
            labels=labels | {"ORCH_OWNER": self.process.partition("@")[0]},
            claimed_at_s=self._claimed_at_s.pop(agent.agent_id, None),
        )
        if earlier := self.held.get(agent.agent_id):
            earlier.supersede()
        self.held[agent.agent_id] = lease
        try:
            with self._ending(agent, lease), lease:
                yield lease
        finally:
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

    def enqueue_for_gates(self, agent: AgentState, patch: Mapping[str, Any], bundle: bytes) -> None:
        """Give the agent, with its stored change, to the gates pool; raises as `move` does."""
        now, tag = self.clock(), self.new_id()
        self.store.follow(
            agent_transitions.enqueue_with_change(agent, patch, bundle, now=now, tag=tag)
        )
        self._release(agent)

    def request_rework(self, agent: AgentState, patch: Mapping[str, Any]) -> None:
        """Give a rejected agent back for another round; raises as `moves.move` does."""
        step = agent_transitions.request_rework(agent, patch, now=self.clock(), tag=self.new_id())
        self.store.run(step)
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
        found_lease_ms: int | None = None,
    ) -> None:
        """End the agent as failed; who was ended by another already stays as it is."""
        step = agent_transitions.end(
            agent,
            Status.FAILED,
            now=self.clock(),
            tag=self.new_id(),
            patch=patch,
            error=error,
            found_lease_ms=found_lease_ms,
        )
        try:
            self.store.run(step)
        except (TransitionRefused, NotFound) as refusal:
            log.info("not failed", agentId=agent.agent_id, error=str(error), reason=str(refusal))
        else:
            log.info("failed", agentId=agent.agent_id, code=error.code, error=str(error))

    def apply(
        self, agent: AgentState, result: AttemptResult, *, found_lease_ms: int | None = None
    ) -> None:
        """Write how an attempt ended: the one place where ends are written.

        Raises as `transition.move` does where the attempt ended well; an attempt that lost its
        agent meanwhile changes nothing. With `found_lease_ms`, so does one with a newer lease.
        """
        match result:
            case EnqueueForGates(bundle, facts):
                self.enqueue_for_gates(agent, facts, bundle)
            case RequestRework(facts):
                self.request_rework(agent, facts)
            case Complete(facts):
                self.complete(agent, facts)
            case Fail(error, facts):
                self.fail(agent, error, facts, found_lease_ms=found_lease_ms)
            case Reschedule(FallbackUnavailable() as error):
                rest = self._waits.without_choice(agent, error, self.clock())
                self._reschedule(agent, *rest, found_lease_ms=found_lease_ms)
            case Reschedule():
                self._reschedule(agent, result, found_lease_ms=found_lease_ms)
            case AwaitProvider():
                self._reschedule(agent, *self._waits.after_limit(agent, result, self.clock()))
            case NotOurs(error):
                log.info("stopped", agentId=agent.agent_id, reason=str(error))
            case Abandon(error):
                log.warning("abandoned", agentId=agent.agent_id, reason=str(error))

    def recover(
        self, agent: AgentState, error: OrchestratorError, *, found_lease_ms: int | None = None
    ) -> None:
        """Let another attempt go on after an error that is not the agent's, if one is left."""
        self.apply(agent, self.policy.recover(error, agent), found_lease_ms=found_lease_ms)

    def _reschedule(
        self,
        agent: AgentState,
        result: Reschedule,
        switch: Switch | None = None,
        *,
        found_lease_ms: int | None = None,
    ) -> None:
        """Let another attempt go on where this one is, unless the agent is no longer its own."""
        agent_id, error = agent.agent_id, result.error
        try:
            now_is = self.store.run(agents.read(agent_id))
            if now_is.status in FINAL:
                log.info("not rescheduled", agentId=agent_id, reason=now_is.status)
                return
            has_change = self.store.run(changes.has_change(agent_id, agent.attempt))
            now = self.clock()
            step = agent_transitions.recover(
                # Fenced by this attempt and its holder, whatever was read.
                now_is.model_copy(update=agent.fence),
                error=error,
                continues=agent.attempt if has_change else agent.continues_attempt,
                counts=result.counts,
                delay_s=result.delay_s,
                now=now,
                tag=self.new_id(),
                found_lease_ms=found_lease_ms,
                fallback=replace(switch, agent=now_is).step(now) if switch else None,
            )
            self.store.run(step)
        except (TransitionRefused, NotFound) as refusal:
            log.info("not rescheduled", agentId=agent_id, reason=str(refusal))
        else:
            facts = {"code": error.code, "delayS": round(result.delay_s, 1), "error": str(error)}
            log.warning("rescheduled", agentId=agent_id, **facts)

    @contextmanager
    def _ending(self, agent: AgentState, lease: Lease) -> Iterator[None]:
        """Write what ends the work inside as the end of the agent, by the recovery policy.

        Where nothing can be written the lease runs out, and the rescuer lets another attempt go
        on.
        """
        try:
            try:
                yield
            except Exception as error:
                result = self._decide(agent, lease, error)
                if isinstance(result, Abandon):
                    raise result.error from error
                # Nothing renews the lease any more, but it is not over yet.
                with waiting_with(lease, lease.wait_for_space):
                    self.apply(agent, result)
        except (StoreUnreachable, StoreRefused, LeaseLost) as error:
            self.confirmation.abandon(lease, error)

    def _decide(self, agent: AgentState, lease: Lease, error: Exception) -> RetryDecision:
        if lease.is_released:
            log.error("late error", agentId=agent.agent_id, exc_info=error)
            return NotOurs(AttemptStale())
        try:
            # A program that was ended with the lease has not failed by itself.
            lease.check_time(error)
        except LeaseLost as lost:
            return Abandon(lost)
        return self.policy.decide(known_error(error, agent), agent, self.clock())

    def _release(self, agent: AgentState) -> None:
        # The next worker's token is the same: whatever happens here from now on is not the agent's.
        if lease := self.held.get(agent.agent_id):
            lease.release()

    def _claim(
        self, agent_id: str, step: Callable[[AgentState], Operation[Moved]]
    ) -> AgentState | None:
        try:
            agent = self.store.run(agents.read(agent_id))
            # Valkey counts from when it was sent, however late the answer comes.
            claimed_at_s = self.deadlines.elapsed()
            moved = self.store.run(step(agent))
        except (TransitionRefused, NotFound, Halted, NoSlotFree) as refusal:
            # Messages may come twice or late: the state says whether there is work.
            log.info("message dropped", agentId=agent_id, reason=str(refusal))
            return None
        if moved.overrun:
            self.fail(moved.state, BudgetExceeded(moved.overrun))
            return None
        self._claimed_at_s[agent_id] = claimed_at_s
        return moved.state
