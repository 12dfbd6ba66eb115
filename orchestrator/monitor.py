"""Finds agents that no worker holds any more, and says so in their state."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.errors import LeaseLost, NotFound
from orchestrator.lifecycle import agents
from orchestrator.lifecycle.holder import Holder
from orchestrator.log import get_logger

log = get_logger("monitor")


@dataclass(frozen=True)
class Monitor:
    """The sweep's work; running it twice at once is harmless, each move is guarded."""

    holder: Holder

    def sweep(self) -> tuple[str, ...]:
        """Fail every agent whose lease has ended; returns their ids."""
        lost = self.holder.store.run(agents.expired(self.holder.clock()))
        for agent_id in lost:
            try:
                agent = self.holder.store.run(agents.read(agent_id))
            except NotFound:
                log.warning("lease without an agent", agentId=agent_id)
                self.holder.store.run(agents.drop_lease(agent_id))
                continue
            msg = f"Worker {agent.worker} stopped renewing the lease of this agent ({agent.phase})."
            self.holder.fail(agent, LeaseLost(msg))
        return lost
