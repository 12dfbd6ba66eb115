"""The sweep: recovers agents with an expired lease, releases delayed ones, resends messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.errors import ArgumentRefused, LeaseLost, RecordMalformed
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.maintenance.retention import expire
from orchestrator.models import AgentState
from orchestrator.models.state_machine import AWAITING_MESSAGE, FINAL, WAITING
from orchestrator.store import (
    agent_transitions,
    agents,
    delays,
    halt,
    kills,
    leases,
    lost_messages,
    provider_limits,
    sweeps,
    unreadable,
)
from orchestrator.store.budget import apply_limits
from orchestrator.store.locks import sweeping
from orchestrator.store.operations import Operation
from orchestrator.store.sweeps import Sweeper
from orchestrator.store.transition import now_ms

#: A message that no queue has counts as lost after this; a live worker has claimed by then.
LOST_AFTER_S = 10.0
#: The cleanup of an ended agent normally ends within this.
CLEANED_WITHIN_S = 60.0
#: An agent whose record cannot be read is looked at again after this; below four leases.
_LOOK_AGAIN = timedelta(seconds=60)
#: A due date may be this much after the longest wait of its kind.
_TOLERANCE = timedelta(seconds=60)
#: One sweep reads at most so many windows of expired leases, and of due agents.
_MOST_WINDOWS = 100
#: A lease of more than this many times its duration was written by another time.
_LONGEST_LEASES = 4

log = get_logger("rescuer")


@dataclass(frozen=True)
class Rescuer:
    """Runs the sweep; two sweeps at the same time are harmless, since every step is guarded."""

    holder: AgentLeases
    retention_s: float
    #: Whether Valkey's clock has not jumped within this time (seconds).
    is_steady_for: Callable[[float], bool] = lambda _seconds: True

    def sweep(self, by: Sweeper = Sweeper.SCHEDULER) -> tuple[str, ...]:
        """Run one sweep unless another one runs; return the ids of the recovered agents.

        After a jump of Valkey's clock no instant is judged until each live worker has renewed
        its leases by the new time.

        While the halt is set, no delayed agent is released and no message is sent again. Touches:
        leases, delayed agents, queues, lost messages, slots, and the data of expired agents.
        """
        with sweeping(self.holder.store, self.holder.new_id()) as is_mine:
            if not is_mine:
                return ()
            lost: tuple[str, ...] = ()
            if self.is_steady_for(self.holder.lease_s):
                # First: it frees memory, without which what comes after may be refused.
                expire(self.holder.store, before=self.holder.clock() - self._retention)
                lost = self._recover_lost()
            if self.holder.store.run(halt.find_halt()) is None:
                # A halt drops messages; the resume sends them again.
                self._release_due()
                self._resend_lost()
                # A new day or a freed slot causes no transition, so the sweep applies it.
                self.holder.store.run(apply_limits(self.holder.clock()))
            self.holder.store.run(sweeps.record(by, now=self.holder.clock()))
            return lost

    @property
    def _retention(self) -> timedelta:
        return timedelta(seconds=self.retention_s)

    def _recover_lost(self) -> tuple[str, ...]:
        now = self.holder.clock()
        self._shorten_impossible(now)
        recovered: list[str] = []
        # What one window lists leaves it, so that the next one lists others.
        for _ in range(_MOST_WINDOWS):
            lost = self.holder.store.run(leases.expired(now))
            for agent_id, lease_ms in lost.items():
                with self._setting_aside(agent_id, leases.defer):
                    self._recover(agent_id, lease_ms)
                    recovered.append(agent_id)
            if len(lost) < leases.WINDOW:
                break
        return tuple(recovered)

    def _shorten_impossible(self, now: datetime) -> None:
        """Shorten leases longer than any worker asks for: Valkey's clock was set back.

        A live worker renews its own within a second. Without this, the agents of a dead one
        would wait for as long as the clock was set back.
        """
        most = now + timedelta(seconds=_LONGEST_LEASES * self.holder.lease_s)
        for agent_id in self.holder.store.run(leases.ending_after(most)):
            log.warning("lease shortened", agentId=agent_id)
            until = now + timedelta(seconds=self.holder.lease_s)
            self.holder.store.run(leases.shorten(agent_id, until))

    def _recover(self, agent_id: str, found_lease_ms: int) -> None:
        agent = self.holder.store.run(agents.find(agent_id))
        if agent is None or agent.status in FINAL:
            log.warning("orphaned lease", agentId=agent_id)
            self.holder.store.run(leases.drop_lease(agent_id))
            return
        msg = f"Worker {agent.worker} stopped renewing the lease of this agent ({agent.phase})."
        self.holder.recover(agent, LeaseLost(msg), found_lease_ms=found_lease_ms)

    def _shorten_waits(self, now: datetime) -> None:
        """Let agents be due now whose date is later than any wait: Valkey's clock was set back.

        Only a provider makes agents wait for longer than the longest backoff.
        """
        store = self.holder.store
        longest = timedelta(seconds=self.holder.policy.cap_s) + _TOLERANCE
        late = store.run(delays.due_after(now + longest))
        limits = store.run(provider_limits.read_limits()) if late else {}
        for agent_id in late:
            with self._setting_aside(agent_id, delays.defer):
                agent = store.run(agents.find(agent_id))
                due_ms = store.run(delays.due_at_ms(agent_id))
                if agent is None or due_ms is None:
                    continue
                limited_ms = provider_limits.limited_until_ms(agent, limits)
                if due_ms > limited_ms + longest.total_seconds() * 1000:
                    log.warning("wait shortened", agentId=agent_id)
                    store.run(delays.defer(agent_id, now))

    def _release_due(self) -> None:
        now = self.holder.clock()
        self._shorten_waits(now)
        for _ in range(_MOST_WINDOWS):
            due = self.holder.store.run(delays.due(now))
            for agent_id in due:
                with self._setting_aside(agent_id, delays.defer):
                    self._release(agent_id)
            if len(due) < delays.WINDOW:
                break

    def _release(self, agent_id: str) -> None:
        store = self.holder.store
        agent = store.run(agents.find(agent_id))
        if agent is None or agent.phase not in WAITING:
            store.run(delays.forget(agent_id))
        else:
            message = agent_transitions.message_of(agent)
            now, tag = self.holder.clock(), self.holder.new_id()
            store.run(delays.release(message, now=now, tag=tag))

    def _resend_lost(self) -> None:
        """Send the messages again that a worker received but did not claim before it ended."""
        store, now = self.holder.store, self.holder.clock()
        missed = {_lost_message_id(agent): agent for agent in self._missing()}
        known = store.run(lost_messages.suspected())
        if gone := known.keys() - missed.keys():
            store.run(lost_messages.clear_lost(gone))
        if fresh := missed.keys() - known.keys():
            store.run(lost_messages.suspect_lost(fresh, now=now))
        oldest = now_ms(now) - LOST_AFTER_S * 1000
        for mark, since in known.items():
            # What was found after the present was found before the clock was set back.
            if mark in missed and not oldest < since <= now_ms(now):
                agent = missed[mark]
                log.warning("message sent again", agentId=agent.agent_id, phase=agent.phase)
                store.run(
                    kills.enqueue(
                        agent_transitions.message_of(agent), now=now, tag=self.holder.new_id()
                    )
                )
                store.run(lost_messages.clear_lost([mark]))

    def _missing(self) -> list[AgentState]:
        """Return the agents that wait for a message which is not in its list."""
        store, now = self.holder.store, self.holder.clock()
        found = store.follow(lost_messages.missing())
        sent_ms = {one.agent_id: one.sent_ms for one in found}
        # The cleanup takes its time; what ended after the present ended before the clock was set.
        cleaned = now_ms(now - timedelta(seconds=CLEANED_WITHIN_S)), now_ms(now + _TOLERANCE)
        return [
            agent
            for agent in store.follow(agents.read_each(sent_ms))
            if agent.phase in AWAITING_MESSAGE
            and not (agent.status in FINAL and cleaned[0] < sent_ms[agent.agent_id] <= cleaned[1])
        ]

    @contextmanager
    def _setting_aside(
        self, agent_id: str, defer: Callable[[str, datetime], Operation[None]]
    ) -> Iterator[None]:
        """Set an agent with an unreadable record aside by name; other agents do not wait for it.

        It is looked at again later: a newer version may read it.
        """
        try:
            yield
        except (RecordMalformed, ArgumentRefused) as error:
            log.warning("record not read", agentId=agent_id, reason=str(error))
            now = self.holder.clock()
            self.holder.store.run(defer(agent_id, now + _LOOK_AGAIN))
            self.holder.store.follow(unreadable.name_agent(agent_id, now=now))


def _lost_message_id(agent: AgentState) -> str:
    """Return the id of a lost message; the next phase or attempt has another one."""
    return f"{agent.agent_id} {agent.phase} {agent.attempt}"
