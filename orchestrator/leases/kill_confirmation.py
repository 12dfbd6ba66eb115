"""What a worker says of agents that ended in its hands: whose kill it can prove, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import OrchestratorError, StoreRefused, StoreUnreachable
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Status
from orchestrator.models.state_machine import FINAL
from orchestrator.store import agents, kills
from orchestrator.store.client import Store

log = get_logger("lifecycle")


@dataclass(frozen=True)
class KillConfirmation:
    """Confirms kills of what this process has held; what could not be said yet is said later."""

    store: Store
    #: This process, as `pid:start`.
    process: str
    #: Leases of agents whose end is not written; nothing of them runs any more.
    _abandoned: dict[str, Lease] = field(default_factory=dict)

    def was_killed(self, agent: AgentState) -> bool:
        """Whether the agent was killed under this attempt, while this process held it.

        Raises:
            StoreUnreachable: Valkey cannot be asked.
        """
        state = self._own(agent)
        return state is not None and state.status is Status.KILLED

    def confirm(self, lease: Lease, **facts: Any) -> None:
        """Write into the receipt of a kill what was seen dead; the first word counts.

        Where a program killed its own supervisor nothing was seen: the agent is let go of, and
        the host cleaner, which searches the whole host, gives its word.

        Raises:
            StoreUnreachable: it is not written.
        """
        cancel_scope, agent_id = lease.cancel_scope, lease.agent.agent_id
        seen = {"confirmed": True, "confirmedBy": "worker", **facts}
        if not cancel_scope.has_proof:
            seen = {"workerProcess": None, **facts}
        if cancel_scope.ended_pids:
            seen["pids"] = cancel_scope.ended_pids
        if cancel_scope.ended_at_s is not None:
            # This word may come late: a worker that ends hundreds has much to say.
            seen["endedMsAgo"] = round((time.monotonic() - cancel_scope.ended_at_s) * 1000)
        self.store.run(kills.add_to_receipt(agent_id, seen))

    def confirm_if_killed(self, lease: Lease) -> None:
        """Confirm the agent's kill if it was killed; where Valkey is away, by a `review`."""
        if self._abandoned.get(lease.agent.agent_id) is lease:
            # Asked once more, a Valkey that hangs would hold up the worker's slot.
            return
        try:
            if self.was_killed(lease.agent):
                self.confirm(lease)
        except (StoreUnreachable, StoreRefused) as error:
            self.abandon(lease, error)

    def abandon(self, lease: Lease, error: OrchestratorError) -> None:
        """Let go of an agent whose end cannot be written: its lease runs out."""
        agent_id = lease.agent.agent_id
        log.warning("abandoned", agentId=agent_id, reason=str(error))
        self._abandoned[agent_id] = lease

    def review(self) -> None:
        """Look after what was abandoned: confirm its kill, forget what has ended or is another's.

        Raises:
            StoreUnreachable: Valkey is away again.
        """
        for agent_id, lease in list(self._abandoned.items()):
            state = self._own(lease.agent)
            if state is not None and state.status not in FINAL:
                continue
            if state is not None and state.status is Status.KILLED:
                self.confirm(lease)
            # A later attempt may have been abandoned meanwhile.
            if self._abandoned.get(agent_id) is lease:
                del self._abandoned[agent_id]

    def _own(self, agent: AgentState) -> AgentState | None:
        """Read the agent; None once another has it: the gates pool goes on under this attempt."""
        state = self.store.run(agents.find(agent.agent_id))
        holder = agent.attempt, self.process
        is_own = state is not None and (state.attempt, state.worker_process) == holder
        return state if is_own else None
