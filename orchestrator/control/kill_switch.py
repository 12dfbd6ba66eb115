"""Kills agents, one or many, and waits for the proof; halts new work and resumes it."""

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

#: What a kill waits for the confirmations, unless told otherwise.
TIMEOUT_S = 10.0
_BLOCK_MS = 500
#: Agents may be spawned while others are being killed: all of the request's time are met.
_ROUNDS = 3
#: Valkey writes its file each second.
_DISK_TIMEOUT_MS = 3000

T = TypeVar("T")


@dataclass(frozen=True)
class KillSwitch:
    """The three ways to stop: kill, halt, resume. Its flows run on either executor."""

    audit: Audit
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def kill(
        self, agent_id: str, order: KillOrder, *, timeout_s: float = TIMEOUT_S
    ) -> Flow[Receipt]:
        """Kill one agent and wait until it is confirmed dead; again for one that was killed.

        Raises:
            NotFound: there is no such agent.
            AgentEnded: it has completed or failed.
            RecordMalformed: nothing of its record can be read.
            KillUnconfirmed: nobody has confirmed its death in time; its state is final.
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
        """Kill every active agent of a scope; only what is confirmed in time counts as killed."""
        last = yield kills.last_ack()
        killed: set[str] = set()
        spared: set[str] = set()
        for _ in range(_ROUNDS):
            targets = yield from self.targets(scope)
            if not targets:
                break
            met = yield from self._order(targets, order)
            killed |= {one.agent.agent_id for one in met if one.agent and one.answer == "killed"}
            spared |= {one.agent.agent_id for one in met if one.agent and _is_spared(one)}
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
        """Admit and start nothing new until `resume`, restarts included; the running finish.

        Returns whether Valkey has it on its disk.
        """
        halt = Halt(by=by, why=why, at=self.clock())
        yield halts.set_halt(halt)
        yield from self.audit.report([AuditAction(action="halt", who=by, why=why)])
        try:
            is_on_disk: bool = yield kills.await_disk(timeout_ms=_DISK_TIMEOUT_MS)
        except StoreRefused:
            # Valkey's answer where it keeps no append-only file at all.
            return False
        return is_on_disk

    def resume(self, by: str, why: str) -> Flow[int]:
        """Lift the latch; returns how many agents had been waiting for it.

        Their messages were dropped while it stood, so each gets a new one.
        """
        yield halts.lift_halt()
        yield from self.audit.report([AuditAction(action="resume", who=by, why=why)])
        waiting = yield from self._active(lambda agent: agent.phase in AWAITING_SPAWN)
        for agent in waiting:
            message = StageMessage(SPAWN_TASK, SPAWN_QUEUE, agent.agent_id, agent.priority)
            yield kills.enqueue(message, tag=self.new_id())
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
        wanted = scope.model_dump(exclude_none=True)
        return (
            yield from self._active(
                lambda agent: all(getattr(agent, name) == value for name, value in wanted.items())
            )
        )

    def _active(self, is_wanted: Callable[[PartialRecord], bool]) -> Flow[list[PartialRecord]]:
        ids = yield kills.active_ids()
        found: list[PartialRecord] = []
        for chunk in _chunks(ids):
            read = yield read_partial_records(*chunk)
            found += [agent for agent in read if agent is not None and is_wanted(agent)]
        return found

    def _await(self, agent_ids: set[str], last: str, timeout_s: float) -> Flow[None]:
        """Wait until the last of these is confirmed, or the time is over."""
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
    """Whether it stood among the active, and is nothing that the script could end."""
    return met.answer == "malformed" or (
        met.answer == "ended" and met.agent is not None and met.agent.status not in FINAL
    )


def _not_killed(agent_id: str) -> str:
    return f"{agent_id}: not killed, its record cannot be read; `orch kill-all --local` ends it."


def _unconfirmed(receipt: Receipt) -> str:
    where = f"worker {receipt.worker}" if receipt.worker else "no worker"
    left = f", survivors {', '.join(map(str, receipt.survivors))}" if receipt.survivors else ""
    return f"{receipt.agent_id}: killed in the state, its death is not confirmed ({where}{left})."
