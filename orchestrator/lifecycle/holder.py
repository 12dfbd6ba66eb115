"""What a pool worker does with the agents it holds: claim, keep, move on, end. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.errors import (
    AgentKilled,
    AttemptStale,
    Halted,
    NotFound,
    OrchestratorError,
    StoreUnreachable,
    TransitionRefused,
)
from orchestrator.lifecycle import agents, kills
from orchestrator.lifecycle.lease import Lease
from orchestrator.lifecycle.moves import Moved
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Status
from orchestrator.store.executors import Store
from orchestrator.store.operations import Operation

log = get_logger("lifecycle")


@dataclass(frozen=True)
class Holder:
    """One worker's hands on the record of agents; binds the store, the clock and its name."""

    store: Store
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    worker: str
    lease_s: float
    #: This process, as `pid:start`: who finds an agent of it can tell whether it lives.
    process: str
    #: The leases this process holds, by agent.
    held: dict[str, Lease] = field(default_factory=dict)

    def claim(self, agent_id: str) -> AgentState | None:
        """Claim a queued agent; None if there is nothing to do: taken, ended or unknown."""
        return self._take(
            agent_id,
            lambda agent: agents.claim(
                agent, self.worker, self.process, lease_s=self.lease_s, now=self.clock()
            ),
        )

    def take_over(self, agent_id: str, attempt: int) -> AgentState | None:
        """Take an agent to its gates; None if there is nothing to do."""

        def step(agent: AgentState) -> Operation[Moved]:
            handed = agent.model_copy(update={"attempt": attempt})
            return agents.take_over(
                handed, self.worker, self.process, lease_s=self.lease_s, now=self.clock()
            )

        return self._take(agent_id, step)

    @contextmanager
    def holding(self, agent: AgentState) -> Iterator[Lease]:
        """Hold a taken agent; whatever ends the work inside is written as the end of the agent.

        Nothing leaves here. When this is left after a kill, nothing the worker started for the
        agent runs any more, and the kill's receipt says so.
        """
        lease = Lease(self.store, agent, lease_s=self.lease_s, clock=self.clock)
        self.held[agent.agent_id] = lease
        try:
            with self._ending(agent), lease:
                yield lease
        finally:
            del self.held[agent.agent_id]
        if self.was_killed(agent):
            self.confirm(lease)

    def revoke(self, agent_id: str) -> None:
        """Hear that an agent was killed; what this process runs for it is ended at once."""
        if lease := self.held.get(agent_id):
            lease.revoke()

    def confirm(self, lease: Lease, **facts: Any) -> None:
        """Write into the receipt of a kill what was seen dead; the first word counts."""
        custody, agent_id = lease.custody, lease.agent.agent_id
        seen = {"confirmed": True, "confirmedBy": "worker", **facts}
        if custody.ended_pids:
            seen["pids"] = custody.ended_pids
        try:
            self.store.run(kills.add_to_receipt(agent_id, seen))
        except StoreUnreachable as error:
            log.warning("receipt not written", agentId=agent_id, reason=str(error))

    def start(self, agent: AgentState, *, base_commit: str) -> AgentState:
        """Say that the agent's process runs; raises as `moves.move` does."""
        step = agents.start(agent, base_commit=base_commit, lease_s=self.lease_s, now=self.clock())
        return self.store.run(step).state

    def update(self, agent: AgentState, patch: Mapping[str, Any]) -> AgentState:
        """Write facts of this attempt; raises as `moves.move` does."""
        return self.store.run(agents.update(agent, patch, now=self.clock())).state

    def hand_over(self, agent: AgentState, patch: Mapping[str, Any]) -> None:
        """Give the agent to the gates pool; raises as `moves.move` does."""
        self.store.run(agents.hand_over(agent, patch, now=self.clock(), tag=self.new_id()))

    def send_back(self, agent: AgentState, patch: Mapping[str, Any]) -> None:
        """Give a rejected agent back for another round; raises as `moves.move` does."""
        self.store.run(agents.send_back(agent, patch, now=self.clock(), tag=self.new_id()))

    def complete(self, agent: AgentState, patch: Mapping[str, Any]) -> None:
        """End the agent well; raises as `moves.move` does."""
        self.store.run(
            agents.end(agent, Status.COMPLETED, now=self.clock(), tag=self.new_id(), patch=patch)
        )

    def fail(
        self, agent: AgentState, error: OrchestratorError, patch: Mapping[str, Any] | None = None
    ) -> None:
        """End the agent as failed; who was ended by another already stays as it is."""
        step = agents.end(
            agent, Status.FAILED, now=self.clock(), tag=self.new_id(), patch=patch, error=error
        )
        try:
            self.store.run(step)
        except (TransitionRefused, NotFound) as refusal:
            log.info("not failed", agentId=agent.agent_id, error=str(error), reason=str(refusal))
        else:
            log.info("failed", agentId=agent.agent_id, code=error.code, error=str(error))

    @contextmanager
    def _ending(self, agent: AgentState) -> Iterator[None]:
        """Write what ends the work inside as the end of the agent."""
        try:
            yield
        except (AgentKilled, AttemptStale) as end:
            log.info("stopped", agentId=agent.agent_id, reason=str(end))
        except StoreUnreachable as error:
            # Nothing can be written: the lease runs out, and the sweep tells the agent's end.
            log.warning("abandoned", agentId=agent.agent_id, reason=str(error))
        except OrchestratorError as error:
            self.fail(agent, error)
        except Exception as error:  # the process edge: logged, and the agent fails
            log.exception("unexpected", agentId=agent.agent_id)
            self.fail(agent, OrchestratorError(f"{type(error).__name__}: {error}."))

    def was_killed(self, agent: AgentState) -> bool:
        """Whether the agent was killed under this attempt; False if Valkey cannot be asked."""
        try:
            state = self.store.run(agents.find(agent.agent_id))
        except StoreUnreachable as error:
            log.warning("end not read", agentId=agent.agent_id, reason=str(error))
            return False
        return (
            state is not None and state.status is Status.KILLED and state.attempt == agent.attempt
        )

    def _take(
        self, agent_id: str, step: Callable[[AgentState], Operation[Moved]]
    ) -> AgentState | None:
        try:
            agent = self.store.run(agents.read(agent_id))
            return self.store.run(step(agent)).state
        except (TransitionRefused, NotFound, Halted) as refusal:
            # Messages may come twice or late: the state says whether there is work.
            log.info("message dropped", agentId=agent_id, reason=str(refusal))
            return None
