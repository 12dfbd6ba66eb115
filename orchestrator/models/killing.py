"""The records of killing: the scope of a kill, the receipt of each agent, and the halt."""

from __future__ import annotations

from typing import Any, Self

from pydantic import model_validator

from orchestrator.models.record import Instant, Record
from orchestrator.models.request import AgentType
from orchestrator.models.retained import LeftOut, Retained
from orchestrator.models.state import Phase, Status


class KillScope(Record):
    """A filter of active agents; without any field it matches all of them."""

    task_id: str | None = None
    repository: str | None = None
    worker: str | None = None
    agent_type: AgentType | None = None

    @property
    def shown(self) -> str:
        """The scope as short text, for the audit."""
        filters = self.model_dump(exclude_none=True, by_alias=True)
        return ", ".join(f"{name} {value}" for name, value in filters.items()) or "all"


class Receipt(Record):
    """What one kill did, stored under `orchestrator:receipt:{agentId}`."""

    agent_id: str
    #: The id of the order: a repeated call recognises its own receipt by it.
    order_id: str | None = None
    by: str
    why: str
    requested_at: Instant
    status_before: Status
    phase_before: Phase
    status_after: Status = Status.KILLED
    attempt: int
    worker: str | None = None
    #: `pid:start@machine.boot` of the worker process that held the agent.
    worker_process: str | None = None
    #: Whether the change of the agent is discarded.
    discard: bool = False
    #: Whether all processes of the agent have ended, or none ran.
    confirmed: bool = False
    #: The source: `state` (no worker held it), `worker`, or `host_cleaner` (its worker is gone).
    confirmed_by: str | None = None
    pids: tuple[int, ...] = ()
    containers: tuple[str, ...] = ()
    survivors: tuple[int, ...] = ()
    #: What was seen: `supervisor`, that is each supervisor saw its last process end, or the kernel
    #: showed its cgroup or PID namespace to be empty.
    proof: str | None = None
    #: The reason why the end of the processes cannot be proven; then the kill is not confirmed.
    unproven: str | None = None
    #: From the request to the end of the last process, by Valkey's clock.
    duration_ms: int | None = None
    saved_bytes: int | None = None
    #: The retained commits that are not part of the captured tree.
    retained: tuple[Retained, ...] | None = None
    #: The paths and commits that its last capture left out, by reason.
    left_out: tuple[LeftOut, ...] | None = None
    #: The commit on the remote's branch of the agent after a kill during delivery.
    remote: str | None = None
    #: Valkey's clock (ms) at the kill, from which the duration is measured.
    clock_ms: int | None = None

    def shown(self) -> dict[str, Any]:
        """Return the JSON object without what only the kill itself needs."""
        inner = {"clock_ms", "order_id"}
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=inner)


class Halt(Record):
    """The halt: while it is stored, no agent is admitted or started."""

    by: str
    why: str
    at: Instant


class KillReport(Record):
    """The result of a kill of several agents; a kill counts only when it is confirmed."""

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
