"""The sweep: finds agents that no worker holds any more, and lets others go on with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.budget import look_again
from orchestrator.errors import LeaseLost, RecordMalformed
from orchestrator.lifecycle import agents, kills, waiting
from orchestrator.lifecycle.fsm import FINAL
from orchestrator.lifecycle.holder import Holder
from orchestrator.lifecycle.moves import now_ms
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Phase, Status
from orchestrator.retention import expire
from orchestrator.store import keys
from orchestrator.store.operations import Operation, command, read_records
from orchestrator.store.sweeping import sweeping

#: A message is missed for this long before it counts as lost: who took it has claimed by then.
MISSED_FOR_S = 10.0
#: An ended agent is cleaned up well within this.
CLEANED_WITHIN_S = 60.0
_RECENT = timedelta(hours=1)
_LIMIT = 500

log = get_logger("monitor")


@dataclass(frozen=True)
class Monitor:
    """The sweep's work; running it twice at once is harmless, each move is guarded."""

    holder: Holder
    retention_s: float

    def sweep(self) -> tuple[str, ...]:
        """Look at everything once, if no other sweep does; returns the agents that were lost."""
        with sweeping(self.holder.store, self.holder.new_id()) as is_mine:
            if not is_mine:
                return ()
            lost = self._recover_lost()
            if self.holder.store.run(kills.find_halt()) is None:
                # What was dropped while the latch stood is sent again when it is lifted.
                self._release_due()
                self._resend_missed()
                # A new day, a place that came back: nobody's move tells of it.
                self.holder.store.run(look_again(self.holder.clock()))
            expire(self.holder.store, before=self.holder.clock() - self._retention)
            return lost

    @property
    def _retention(self) -> timedelta:
        return timedelta(seconds=self.retention_s)

    def _recover_lost(self) -> tuple[str, ...]:
        lost = self.holder.store.run(agents.expired(self.holder.clock()))
        for agent_id in lost:
            with _keeping_none_waiting(agent_id):
                self._recover(agent_id)
        return lost

    def _recover(self, agent_id: str) -> None:
        agent = self.holder.store.run(agents.find(agent_id))
        if agent is None or agent.status in FINAL:
            log.warning("lease of nobody", agentId=agent_id)
            self.holder.store.run(agents.drop_lease(agent_id))
            return
        msg = f"Worker {agent.worker} stopped renewing the lease of this agent ({agent.phase})."
        self.holder.recover(agent, LeaseLost(msg), only_expired=True)

    def _release_due(self) -> None:
        for agent_id in self.holder.store.run(waiting.due(self.holder.clock())):
            with _keeping_none_waiting(agent_id):
                self._release(agent_id)

    def _release(self, agent_id: str) -> None:
        store = self.holder.store
        agent = store.run(agents.find(agent_id))
        if agent is None or agent.phase not in agents.WAITING:
            store.run(waiting.forget(agent_id))
        else:
            store.run(waiting.release(agents.message_of(agent), tag=self.holder.new_id()))

    def _resend_missed(self) -> None:
        """Send again what was taken from a queue by a worker that died before it claimed."""
        store, now = self.holder.store, self.holder.clock()
        missed = {_mark(agent): agent for agent in self._missing()}
        known = store.run(waiting.suspects())
        if gone := known.keys() - missed.keys():
            store.run(waiting.clear(gone))
        if fresh := missed.keys() - known.keys():
            store.run(waiting.suspect(fresh, now=now))
        oldest = now_ms(now) - MISSED_FOR_S * 1000
        for mark, since in known.items():
            if mark in missed and since <= oldest:
                agent = missed[mark]
                log.warning("message sent again", agentId=agent.agent_id, phase=agent.phase)
                store.run(kills.enqueue(agents.message_of(agent), tag=self.holder.new_id()))
                store.run(waiting.clear([mark]))

    def _missing(self) -> list[AgentState]:
        """Return the agents that wait for a message which is in no queue."""
        store = self.holder.store
        known = {*store.run(waiting.delayed()), *store.run(waiting.uncalled())}
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
        queued = store.follow(waiting.queued())
        return [
            agent
            for agent in found
            if agent.agent_id not in known and agents.message_of(agent).task_id not in queued
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
    return agent.phase in agents.WAITING or agent.phase is Phase.ENDED


def _mark(agent: AgentState) -> str:
    """Return what a message is missed for: the next phase or attempt is another matter."""
    return f"{agent.agent_id} {agent.phase} {agent.attempt}"
