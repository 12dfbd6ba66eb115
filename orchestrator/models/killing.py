"""The records of killing: whom, the receipt of each, the latch that stops new work."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from orchestrator.models.record import Instant, Record
from orchestrator.models.request import AgentType
from orchestrator.models.retained import Retained
from orchestrator.models.state import Phase, Status


class KillScope(Record):
    """Which active agents are meant; without any filter all of them are."""

    task_id: str | None = None
    repository: str | None = None
    worker: str | None = None
    agent_type: AgentType | None = None

    @property
    def shown(self) -> str:
        """The scope in a few words, for the audit."""
        filters = self.model_dump(exclude_none=True, by_alias=True)
        return ", ".join(f"{name} {value}" for name, value in filters.items()) or "all"


class Receipt(Record):
    """What one kill did, stored under `orchestrator:receipt:{agentId}`."""

    agent_id: str
    #: By which an order that is sent again knows its own.
    order_id: str | None = None
    by: str
    why: str
    requested_at: Instant
    status_before: Status
    phase_before: Phase
    status_after: Status = Status.KILLED
    attempt: int
    worker: str | None = None
    #: `pid:start` of the process of the worker that held the agent.
    worker_process: str | None = None
    #: Nothing of the agent is saved.
    discard: bool = False
    #: Everything of the agent was seen dead, or nothing of it ran.
    confirmed: bool = False
    #: Who saw it: `state` (no worker held it), `worker`, or `janitor` (its worker is gone).
    confirmed_by: str | None = None
    pids: tuple[int, ...] = ()
    containers: tuple[str, ...] = ()
    survivors: tuple[int, ...] = ()
    #: From the request to the last death, by Valkey's clock.
    duration_ms: int | None = None
    saved_bytes: int | None = None
    #: What of it stands beside the tree.
    retained: tuple[Retained, ...] | None = None
    #: What the remote held of the agent's branch after a kill during delivery.
    remote: str | None = None
    #: Valkey's clock (ms) at the kill, which the duration is measured from.
    clock_ms: int


class Halt(Record):
    """The latch: while it stands no agent is admitted or started."""

    by: str
    why: str
    at: Instant


class KillReport(Record):
    """The answer to a kill of many; a kill counts only when it is confirmed."""

    message: str
    total: int
    killed: int
    failed: int
    errors: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.killed + self.failed != self.total:
            msg = "killed and failed must add up to total"
            raise ValueError(msg)
        return self
