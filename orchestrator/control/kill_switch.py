"""The kill switch: kills agents and waits for the confirmations; sets and lifts the halt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from orchestrator.audit.log import Audit
from orchestrator.errors import (
    AgentEnded,
    KillUnconfirmed,
    NotFound,
    RecordMalformed,
    StoreRefused,
)
from orchestrator.messages import SPAWN_QUEUE, SPAWN_TASK, StageMessage
from orchestrator.models import (
    AuditAction,
    Halt,
    KillReport,
    KillScope,
    PartialRecord,
    Receipt,
    Status,
)
from orchestrator.models.state_machine import AWAITING_SPAWN, FINAL
from orchestrator.store import halt as halts
from orchestrator.store import kills
from orchestrator.store.agent_outlines import read_partial_records
from orchestrator.store.kills import Killed, KillOrder
from orchestrator.store.operations import Flow

#: A kill waits for the confirmations for so many seconds by default.
TIMEOUT_S = 10.0
_BLOCK_MS = 500
#: Agents may be spawned during a kill-all; further rounds kill them too.
_ROUNDS = 3
#: Valkey writes its append-only file each second.
_DISK_TIMEOUT_MS = 3000

T = TypeVar("T")


@dataclass(frozen=True)
class KillSwitch:
    """Kill, halt and resume; the flows run on the sync and the async executor."""

    audit: Audit
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def kill(
        self, agent_id: str, order: KillOrder, *, timeout_s: float = TIMEOUT_S
    ) -> Flow[Receipt]:
        """Kill one agent and wait for the kill confirmation; return the receipt.

        For an agent that was killed before, only wait. Touches: the agent's record, indexes,
        lease, slot, reservation and receipt, the kill stream, the audit.

        Raises:
            NotFound: there is no such agent.
            AgentEnded: the agent has completed or failed.
            RecordMalformed: the record of the agent cannot be read.
            KillUnconfirmed: no confirmation within `timeout_s` seconds; the state is final.
        """
        (agent,) = yield read_partial_records(agent_id)
        if agent is None:
            msg = f"There is no agent {agent_id}."
            raise NotFound(msg)
        last = yield kills.last_ack()
        (met,) = yield from self._order([agent], order)
        if _is_spared(met):
            raise RecordMalformed(_not_killed(agent_id))
        if met.agent is not None and met.answer == "ended" and met.agent.status != Status.KILLED:
            msg = f"Agent {agent_id} has already {met.agent.status}."
            raise AgentEnded(msg)
        yield from self._await({agent_id}, last, timeout_s)
        receipt: Receipt = yield kills.read_receipt(agent_id)
        if not receipt.confirmed:
            raise KillUnconfirmed(_unconfirmed(receipt))
        return receipt

    def kill_all(
        self, scope: KillScope, order: KillOrder, *, timeout_s: float = TIMEOUT_S
    ) -> Flow[KillReport]:
        """Kill every active agent of a scope and wait for the confirmations.

        An agent counts as killed only if its kill is confirmed within `timeout_s` seconds.
        """
        last = yield kills.last_ack()
        killed: set[str] = set()
        spared: set[str] = set()
        for _ in range(_ROUNDS):
            is_done = True
            # Read, killed and recorded in small parts: other clients of Valkey go in between.
            for chunk in _chunks((yield from kills.active_ids())):
                targets = yield from self._read(chunk, scope)
                if not targets:
                    continue
                is_done = False
                met = yield from self._order(targets, order)
                killed |= {
                    one.agent.agent_id for one in met if one.agent and one.answer == "killed"
                }
                spared |= {one.agent.agent_id for one in met if one.agent and _is_spared(one)}
            if is_done:
                break
        yield from self._await(killed, last, timeout_s)
        errors = [*map(_not_killed, sorted(spared))]
        for chunk in _chunks(sorted(killed)):
            receipts = yield kills.find_receipts(chunk)
            for agent_id, receipt in zip(chunk, receipts, strict=True):
                if receipt is None:
                    errors.append(f"{agent_id}: killed in the state, its receipt is not readable.")
                elif not receipt.confirmed:
                    errors.append(_unconfirmed(receipt))
        total, failed = len(killed | spared), len(errors)
        return KillReport(
            message=f"Kill all completed: {total - failed} killed, {failed} failed",
            total=total,
            killed=total - failed,
            failed=failed,
            errors=tuple(errors),
        )

    def halt(self, by: str, why: str) -> Flow[bool]:
        """Stop the admission and the start of agents until `resume`, even over restarts.

        Running agents continue. Return whether Valkey has written the halt to its disk.
        """
        halt = Halt(by=by, why=why, at=self.clock())
        yield halts.set_halt(halt)
        yield from self.audit.report([AuditAction(action="halt", who=by, why=why)])
        try:
            is_on_disk: bool = yield kills.await_disk(timeout_ms=_DISK_TIMEOUT_MS)
        except StoreRefused:
            # Valkey refuses the command if it has no append-only file.
            return False
        return is_on_disk

    def resume(self, by: str, why: str) -> Flow[int]:
        """Lift the halt; return the number of agents that waited for it.

        The halt drops messages, so each waiting agent gets a new message.
        """
        yield halts.lift_halt()
        yield from self.audit.report([AuditAction(action="resume", who=by, why=why)])
        active = yield from self.targets(KillScope())
        waiting = [agent for agent in active if agent.phase in AWAITING_SPAWN]
        for agent in waiting:
            message = StageMessage(SPAWN_TASK, SPAWN_QUEUE, agent.agent_id, agent.priority)
            yield kills.enqueue(message, now=self.clock(), tag=self.new_id())
        return len(waiting)

    def _order(self, targets: Sequence[PartialRecord], order: KillOrder) -> Flow[list[Killed]]:
        met: list[Killed] = []
        for chunk in _chunks(targets):
            tags = [self.new_id() for _ in chunk]
            met += yield kills.kill(chunk, order, now=self.clock(), tags=tags)
        yield from self.audit.report(
            [
                AuditAction(
                    action="kill",
                    who=order.by,
                    why=order.why,
                    agent_id=one.agent.agent_id,
                    task_id=one.agent.task_id,
                    before=f"{one.agent.status} ({one.agent.phase})",
                )
                for one in met
                if one.agent and one.answer == "killed"
            ]
        )
        return met

    def targets(self, scope: KillScope) -> Flow[list[PartialRecord]]:
        """Read the active agents of a scope."""
        found: list[PartialRecord] = []
        for chunk in _chunks((yield from kills.active_ids())):
            found += yield from self._read(chunk, scope)
        return found

    def _read(self, agent_ids: Sequence[str], scope: KillScope) -> Flow[list[PartialRecord]]:
        """Read those of these agents that are in a scope."""
        wanted = scope.model_dump(exclude_none=True)
        read = yield read_partial_records(*agent_ids)
        return [
            agent
            for agent in read
            if agent is not None
            and all(getattr(agent, name) == value for name, value in wanted.items())
        ]

    def _await(self, agent_ids: set[str], last: str, timeout_s: float) -> Flow[None]:
        """Wait until all these kills are confirmed, at most `timeout_s` seconds."""
        deadline = self.clock() + timedelta(seconds=timeout_s)
        waiting = agent_ids & set((yield kills.unconfirmed()))
        while waiting and (left_s := (deadline - self.clock()).total_seconds()) > 0:
            heard = yield kills.await_acks(last, block_ms=min(round(left_s * 1000), _BLOCK_MS))
            last = heard.last
            waiting -= set(heard.agent_ids)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), kills.CHUNK):
        yield items[start : start + kills.CHUNK]


def _is_spared(met: Killed) -> bool:
    """Return whether the index lists an agent as active but the script could not kill it."""
    return met.answer == "malformed" or (
        met.answer == "ended" and met.agent is not None and met.agent.status not in FINAL
    )


def _not_killed(agent_id: str) -> str:
    return f"{agent_id}: not killed, its record cannot be read; `orch kill-all --local` ends it."


def _unconfirmed(receipt: Receipt) -> str:
    where = f"worker {receipt.worker}" if receipt.worker else "no worker"
    if receipt.unproven:
        end = f"the end of its processes is unproven ({where}; {receipt.unproven})"
        return f"{receipt.agent_id}: killed in the state, {end}."
    left = f", survivors {', '.join(map(str, receipt.survivors))}" if receipt.survivors else ""
    return f"{receipt.agent_id}: killed in the state, its death is not confirmed ({where}{left})."
