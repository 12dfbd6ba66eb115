"""The consistency check: compares records, indexes, queues, leases, budget, folders, processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from orchestrator.host.processes import Host
from orchestrator.maintenance.drift import Drift
from orchestrator.maintenance.message_drifts import message_drifts
from orchestrator.maintenance.trails import agents_without_trail, write_trail_again
from orchestrator.models import AgentState, Status
from orchestrator.models.state_machine import (
    ACTIVE,
    FINAL,
    WAITING,
    WITH_SLOT,
)
from orchestrator.store import (
    agent_index,
    agents,
    budget,
    kills,
    leases,
    slots,
)
from orchestrator.store.client import Store
from orchestrator.workspace.disk import remove_tree
from orchestrator.workspace.unsaved import UnsavedWork

#: The time within which an orphan process must end.
_END_WITHIN_S = 5.0


@dataclass(frozen=True)
class ConsistencyCheck:
    """Checks Valkey and this host; it changes nothing, only a drift's own `repair` does.

    A change during the check may appear as a drift once. A real drift appears again.
    """

    store: Store
    host: Host
    home: Path
    workspaces: Path
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    #: Saves the work in an agent's workspace, then removes the workspace.
    remove_workspace: Callable[[str], object]
    #: The work that this host set aside, and the retry to store it.
    unsaved: Callable[[], Iterable[UnsavedWork]] = tuple
    #: The folders of such work that no program can read.
    unreadable: Callable[[], Iterable[Path]] = tuple
    store_unsaved: Callable[[UnsavedWork], object] = bool

    def check(self) -> tuple[Drift, ...]:
        """Return every drift.

        Touches: the records, indexes, leases, queues, slots, reservations and receipts of all
        agents; on this host the workspaces, the candidates and the processes.
        """
        states = dict(self._states())
        unread = self._unread(states)
        known = {agent_id: agent for agent_id, agent in states.items() if agent_id not in unread}
        of_records = (
            *self._indexes(known),
            *self._leases(known),
            *message_drifts(self.store, known, self.clock, self.new_id),
            *self._reservations(known),
            *self._slots(known),
            *self._trails(known),
            *self._folders(known, unread),
        )
        return (
            *(
                Drift(
                    "record-malformed", agent_id, "no program of this version can read its record"
                )
                for agent_id in sorted(unread)
            ),
            # The status of an unreadable record is unknown, so its other data is not repaired.
            *(drift for drift in of_records if drift.subject not in unread),
            *self._kills(states),
            *self._unsaved(),
            *self._processes(),
        )

    def _states(self) -> Iterator[tuple[str, AgentState | None]]:
        ids = self.store.run(agent_index.all_ids())
        yield from zip(ids, self.store.follow(agents.find_each(ids)), strict=True)

    def _unread(self, states: dict[str, AgentState | None]) -> frozenset[str]:
        return frozenset(
            agent_id
            for agent_id, agent in states.items()
            if agent is None and self.store.run(agents.has_record(agent_id))
        )

    def _indexes(self, states: dict[str, AgentState | None]) -> Iterator[Drift]:
        for agent_id, agent in states.items():
            if agent is None:
                yield Drift(
                    "record-missing",
                    agent_id,
                    "an index lists it, and it has no record",
                    partial(self.store.run, agent_index.remove(agent_id)),
                )
        for status in Status:
            members = {*self.store.run(agent_index.ids_of(status))}
            for agent_id in sorted(members):
                agent = states.get(agent_id)
                if agent is None or agent.status is not status:
                    is_now = agent.status if agent else "gone"
                    yield Drift(
                        "index-wrong",
                        agent_id,
                        f"the index of {status} agents lists it, and it is {is_now}",
                        partial(self.store.run, agent_index.remove_from(status, agent_id)),
                    )
            for agent_id, agent in states.items():
                if agent is not None and agent.status is status and agent_id not in members:
                    yield Drift(
                        "index-missing",
                        agent_id,
                        f"it is {status}, and the index of these agents does not list it",
                        partial(
                            self.store.run,
                            agent_index.add_to(status, agent_id, now=self.clock()),
                        ),
                    )
            yield from self._listed(status, states)

    def _listed(self, status: Status, states: dict[str, AgentState | None]) -> Iterator[Drift]:
        members = {*self.store.run(agent_index.listed(status))}
        agents_of = {
            agent_id: agent
            for agent_id, agent in states.items()
            if agent is not None and agent.status is status
        }
        for agent_id in sorted(members - agents_of.keys()):
            yield Drift(
                "index-wrong",
                agent_id,
                f"the list of {status} agents contains it, and it is not {status}",
                partial(self.store.run, agent_index.unlist(status, agent_id)),
            )
        for agent_id in sorted(agents_of.keys() - members):
            spawned = agents_of[agent_id].spawned_at
            yield Drift(
                "index-missing",
                agent_id,
                f"it is {status}, and the list of these agents does not contain it",
                partial(self.store.run, agent_index.list_again(status, agent_id, spawned=spawned)),
            )

    def _leases(self, states: dict[str, AgentState | None]) -> Iterator[Drift]:
        leased = {*self.store.run(leases.holders())}
        for agent_id in sorted(leased):
            agent = states.get(agent_id)
            if agent is None or agent.status in FINAL or agent.phase in WAITING:
                yield Drift(
                    "orphaned-lease",
                    agent_id,
                    f"it has a lease, and is {agent.phase if agent else 'gone'}",
                    partial(self.store.run, leases.drop_lease(agent_id)),
                )
        for agent_id, agent in states.items():
            if agent is None or agent.status in FINAL or agent.phase in WAITING:
                continue
            if agent_id not in leased:
                yield Drift(
                    "lease-missing",
                    agent_id,
                    f"it is {agent.phase} at {agent.worker}, and has no lease",
                    # With an expired lease the sweep starts another attempt.
                    partial(self.store.run, leases.add_expired(agent_id)),
                )

    def _reservations(self, states: dict[str, AgentState | None]) -> Iterator[Drift]:
        found = self.store.run(budget.reservations())
        total = found.pop(budget.TOTAL, 0)
        for agent_id in sorted(found):
            agent = states.get(agent_id)
            if agent is None or agent.status in FINAL:
                yield Drift(
                    "orphaned-reservation",
                    agent_id,
                    f"{found[agent_id]} tokens are reserved, and it is"
                    f" {agent.status if agent else 'gone'}",
                    partial(self.store.run, budget.recount([agent_id])),
                )
        if total != sum(found.values()):
            yield Drift(
                "reservations-wrong",
                "budget",
                f"{total} tokens count as reserved, the agents hold {sum(found.values())}",
                partial(self.store.run, budget.recount([])),
            )

    def _slots(self, states: dict[str, AgentState | None]) -> Iterator[Drift]:
        placed = {*self.store.run(slots.holders())}
        for agent_id in sorted(placed | states.keys()):
            agent = states.get(agent_id)
            is_at_work = agent is not None and agent.phase in WITH_SLOT
            if agent_id in placed and not is_at_work:
                yield Drift(
                    "orphaned-slot",
                    agent_id,
                    f"it has a slot, and is {agent.phase if agent else 'gone'}",
                    partial(self.store.run, slots.free(agent_id)),
                )
            elif is_at_work and agent_id not in placed:
                yield Drift(
                    "slot-missing",
                    agent_id,
                    "it is at work, and has no slot",
                    partial(self.store.run, slots.assign(agent_id, now=self.clock())),
                )
        for agent_id in self.store.run(slots.waiting()):
            agent = states.get(agent_id)
            if agent is None or agent.phase not in WAITING:
                yield Drift(
                    "orphaned-slot-request",
                    agent_id,
                    f"it waits for a slot, and is {agent.phase if agent else 'gone'}",
                    partial(self.store.run, slots.stop_waiting(agent_id)),
                )

    def _trails(self, states: dict[str, AgentState | None]) -> Iterator[Drift]:
        known = (agent for agent in states.values() if agent is not None)
        for agent in agents_without_trail(self.store, known):
            yield Drift(
                "trail-missing",
                agent.agent_id,
                "its timeline is empty: it has no trail",
                partial(write_trail_again, self.store, agent),
            )

    def _kills(self, states: dict[str, AgentState | None]) -> Iterator[Drift]:
        for agent_id in self.store.run(kills.unconfirmed()):
            if not self.store.run(kills.has_receipt(agent_id)):
                yield Drift(
                    "orphaned-kill",
                    agent_id,
                    "its kill waits for a confirmation, and has no receipt",
                    partial(self.store.run, kills.drop_unconfirmed(agent_id)),
                )
                continue
            agent = states.get(agent_id)
            worker = agent.worker if agent else "a worker"
            receipt = self.store.run(kills.find_receipt(agent_id))
            lack = f"; unproven: {receipt.unproven}" if receipt and receipt.unproven else ""
            yield Drift("kill-unconfirmed", agent_id, f"its kill is not confirmed ({worker}{lack})")

    def _folders(
        self, states: dict[str, AgentState | None], unread: frozenset[str]
    ) -> Iterator[Drift]:
        for folder in (self.workspaces, self.home / "candidates"):
            if not folder.is_dir():
                continue
            for entry in sorted(folder.iterdir()):
                agent_id = entry.name.partition(".")[0]
                agent = states.get(agent_id)
                is_held = agent_id in unread or (agent is not None and agent.status in ACTIVE)
                if agent_id and entry.is_dir() and not is_held:
                    is_workspace = folder == self.workspaces and entry.name == agent_id
                    yield Drift(
                        "folder-left",
                        str(entry),
                        f"its agent is {agent.status if agent else 'gone'}",
                        partial(self.remove_workspace, agent_id)
                        if is_workspace
                        else partial(remove_tree, entry),
                    )

    def _unsaved(self) -> Iterator[Drift]:
        for work in self.unsaved():
            since = datetime.fromtimestamp(work.record.since_s, UTC).isoformat(timespec="seconds")
            agent_id = work.origin.agent_id
            yield Drift(
                "work-not-stored",
                agent_id,
                f"attempt {work.origin.attempt}, since {since}: {work.record.reason}"
                f" It is in {work.path}; `orch export {agent_id}` writes it to a file",
                partial(self.store_unsaved, work),
            )
        for folder in self.unreadable():
            detail = "it contains work that was not stored, and its origin.json cannot be read"
            yield Drift("work-not-stored", str(folder), detail)

    def _processes(self) -> Iterator[Drift]:
        for agent_id, pids in self.host.orphans().items():
            yield Drift(
                "orphaned-process",
                agent_id,
                f"no worker answers for {', '.join(map(str, pids))}",
                partial(self.host.end_orphans, within_s=_END_WITHIN_S),
            )
