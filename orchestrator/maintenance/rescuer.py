"""The sweep: finds agents that no worker holds any more, and lets others go on with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.errors import LeaseLost, RecordMalformed
from orchestrator.leases.holder import AgentLeases
from orchestrator.log import get_logger
from orchestrator.maintenance.retention import expire
from orchestrator.models import AgentState, Phase, Status
from orchestrator.models.state_machine import FINAL
from orchestrator.store import (
    agent_transitions,
    agents,
    delays,
    halt,
    keys,
    kills,
    leases,
    lost_messages,
)
from orchestrator.store.budget import apply_limits
from orchestrator.store.locks import sweeping
from orchestrator.store.operations import Operation, command, read_records
from orchestrator.store.transition import now_ms

#: A message is missed for this long before it counts as lost: who took it has claimed by then.
LOST_AFTER_S = 10.0
#: An ended agent is cleaned up well within this.
CLEANED_WITHIN_S = 60.0
_RECENT = timedelta(hours=1)
_LIMIT = 500

log = get_logger("monitor")


@dataclass(frozen=True)
class Rescuer:
    """The sweep's work; running it twice at once is harmless, each move is guarded."""

    holder: AgentLeases
    retention_s: float

    def sweep(self) -> tuple[str, ...]:
        """Look at everything once, if no other sweep does; returns the agents that were lost."""
        with sweeping(self.holder.store, self.holder.new_id()) as is_mine:
            if not is_mine:
                return ()
            # First: it frees memory, without which what comes after may be refused.
            expire(self.holder.store, before=self.holder.clock() - self._retention)
            lost = self._recover_lost()
            if self.holder.store.run(halt.find_halt()) is None:
                # What was dropped while the latch stood is sent again when it is lifted.
                self._release_due()
                self._resend_lost()
                # A new day, a place that came back: nobody's move tells of it.
                self.holder.store.run(apply_limits(self.holder.clock()))
            return lost

    @property
    def _retention(self) -> timedelta:
        return timedelta(seconds=self.retention_s)

    def _recover_lost(self) -> tuple[str, ...]:
        lost = self.holder.store.run(leases.expired(self.holder.clock()))
        for agent_id in lost:
            with _keeping_none_waiting(agent_id):
                self._recover(agent_id)
        return lost

    def _recover(self, agent_id: str) -> None:
        agent = self.holder.store.run(agents.find(agent_id))
        if agent is None or agent.status in FINAL:
            log.warning("lease of nobody", agentId=agent_id)
            self.holder.store.run(leases.drop_lease(agent_id))
            return
        msg = f"Worker {agent.worker} stopped renewing the lease of this agent ({agent.phase})."
        self.holder.recover(agent, LeaseLost(msg), only_expired=True)

    def _release_due(self) -> None:
        for agent_id in self.holder.store.run(delays.due(self.holder.clock())):
            with _keeping_none_waiting(agent_id):
                self._release(agent_id)

    def _release(self, agent_id: str) -> None:
        store = self.holder.store
        agent = store.run(agents.find(agent_id))
        if agent is None or agent.phase not in agent_transitions.WAITING:
            store.run(delays.forget(agent_id))
        else:
            store.run(delays.release(agent_transitions.message_of(agent), tag=self.holder.new_id()))

    def _resend_lost(self) -> None:
        """Send again what was taken from a queue by a worker that died before it claimed."""
        store, now = self.holder.store, self.holder.clock()
        missed = {_lost_message_id(agent): agent for agent in self._missing()}
        known = store.run(lost_messages.suspected())
        if gone := known.keys() - missed.keys():
            store.run(lost_messages.clear_lost(gone))
        if fresh := missed.keys() - known.keys():
            store.run(lost_messages.suspect_lost(fresh, now=now))
        oldest = now_ms(now) - LOST_AFTER_S * 1000
        for mark, since in known.items():
            if mark in missed and since <= oldest:
                agent = missed[mark]
                log.warning("message sent again", agentId=agent.agent_id, phase=agent.phase)
                store.run(
                    kills.enqueue(agent_transitions.message_of(agent), tag=self.holder.new_id())
                )
                store.run(lost_messages.clear_lost([mark]))

    def _missing(self) -> list[AgentState]:
        """Return the agents that wait for a message which is in no queue."""
        store = self.holder.store
        known = {*store.run(delays.delayed()), *store.run(delays.uncalled())}
        ids = [*store.run(kills.active_ids())]
        for status in sorted(FINAL):
            ended = store.run(self._ended_lately(status))
            ids += ended
        found: list[AgentState] = []
        for start in range(0, len(ids), _LIMIT):
            names = tuple(map(keys.agent, ids[start : start + _LIMIT]))
            states = store.run(read_records(AgentState, names))
            found += [agent for agent in states if agent and _is_waiting(agent)]
        if not found:
            return []
        queued = store.follow(lost_messages.queued())
        return [
            agent
            for agent in found
            if agent.agent_id not in known
            and agent_transitions.message_of(agent).task_id not in queued
        ]

    def _ended_lately(self, status: Status) -> Operation[list[str]]:
        """List those that ended so lately; of all that is kept of others it asks nothing."""
        now = self.holder.clock()
        since = now_ms(now - _RECENT)
        until = now_ms(now - timedelta(seconds=CLEANED_WITHIN_S))
        return command(
            *("ZRANGE", keys.status_index(status), since, until, "BYSCORE"),
            decode=lambda reply: [name.decode() for name in reply],
        )


@contextmanager
def _keeping_none_waiting(agent_id: str) -> Iterator[None]:
    """Log what is wrong with a record of this agent, so that the others get their turn."""
    try:
        yield
    except RecordMalformed as error:
        log.warning("record not read", agentId=agent_id, reason=str(error))


def _is_waiting(agent: AgentState) -> bool:
    # An ended agent waits for its cleanup.
    return agent.phase in agent_transitions.WAITING or agent.phase is Phase.ENDED


def _lost_message_id(agent: AgentState) -> str:
    """Return what a message is missed for: the next phase or attempt is another matter."""
    return f"{agent.agent_id} {agent.phase} {agent.attempt}"
