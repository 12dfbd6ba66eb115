"""What a command asks a system for, whether by Valkey or by HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.models import (
    AgentState,
    AgentType,
    AuditEntry,
    BudgetLimits,
    BudgetSummary,
    GateReport,
    KillReport,
    KillScope,
    LifecycleEvent,
    LogLine,
    QueueState,
    Receipt,
    SpawnRequest,
    Status,
)
from orchestrator.models.attention import Attention
from orchestrator.models.retained import Retained
from orchestrator.queries.agent_list import MAX_LIMIT
from orchestrator.queries.follow import Snapshot
from orchestrator.store.events import StreamedEvent

if TYPE_CHECKING:
    from orchestrator.control.budget import LimitName


@dataclass(frozen=True)
class AgentFilter:
    """The filters of a list of agents; None matches any."""

    status: Status | None = None
    agent_type: AgentType | None = None
    task_id: str | None = None
    repository: str | None = None
    code: str | None = None
    since: datetime | None = None

    def asked(self) -> dict[str, Any]:
        """Return the filters by the names of the queries."""
        return asdict(self)


@dataclass(frozen=True)
class Listing:
    """A page of agents, newest first, and the attention of those that need it."""

    agents: tuple[AgentState, ...]
    attention: Mapping[str, Attention]
    next_cursor: str | None = None
    #: agentId → the receipt of its kill, if they were asked for.
    receipts: Mapping[str, Receipt] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspection:
    """The stored facts about one agent."""

    agent: AgentState
    request: SpawnRequest
    events: tuple[LifecycleEvent, ...]
    reports: tuple[GateReport, ...]
    receipt: Receipt | None
    log: tuple[LogLine, ...]
    reason: Attention


@dataclass(frozen=True)
class KillOptions:
    """The reason of a kill, what becomes of the change, and how long to wait."""

    why: str
    discard: bool
    timeout_s: float


class Client(Protocol):
    """A system, as the commands use it."""

    def full_id(self, given: str) -> str:
        """Return the id that this id or unique prefix names.

        Raises:
            NotFound: there is no such agent.
            IdAmbiguous: several ids begin so.
        """

    def agent(self, agent_id: str) -> AgentState:
        """Return the state of an agent."""

    def agents(
        self, wanted: AgentFilter, *, limit: int, cursor: str, with_receipts: bool = False
    ) -> Listing:
        """Return a page of agents, newest first; on request with the receipts of their kills."""

    def counts(self) -> Mapping[Status, int]:
        """Return the number of agents of each status."""

    def urgent(self, wanted: AgentFilter) -> tuple[tuple[AgentState, Attention], ...]:
        """Return the agents that need attention, the most urgent first."""

    def why(self, agent_id: str) -> Attention:
        """Return the reason for the agent's present state."""

    def inspect(self, agent_id: str, *, lines: int) -> Inspection:
        """Return all about an agent, with its last lines of output."""

    def reports(self, agent_id: str) -> tuple[GateReport, ...]:
        """Return the gate reports of an agent."""

    def patch(self, agent_id: str, ref: str = "") -> str:
        """Return the change of an agent, or a retained commit, as a patch for readers.

        Raises:
            ChangeMissing: the agent changed nothing, or has no such ref.
            ChangeRefused: git refuses the change.
        """

    def export(self, agent_id: str, *, ref: str, as_patch: bool) -> Iterator[bytes]:
        """Yield the parts of a bundle or of a patch for `git apply`; raises as `patch` does."""

    def retained(self, agent_id: str) -> tuple[Retained, ...]:
        """Return the retained commits of an agent beside its change."""

    def receipt(self, agent_id: str) -> Receipt:
        """Return the receipt of the kill of an agent."""

    def log(self, agent_id: str, *, after: str = "") -> Iterator[LogLine]:
        """Yield the output of an agent after an id."""

    def log_end(self, agent_id: str, count: int) -> tuple[LogLine, ...]:
        """Return the last lines of output of an agent."""

    def follow(self, agent_id: str, *, after: str = "") -> Iterator[Snapshot]:
        """Yield an agent's snapshot on each output or change until it has ended."""

    def events(self, after: str) -> Iterator[StreamedEvent]:
        """Yield the stored events after an id."""

    def last_event_id(self) -> str:
        """Return the id of the newest event."""

    def follow_events(self, after: str) -> Iterator[StreamedEvent]:
        """Yield the events after an id as they arrive, also over an interruption."""

    def await_event(self, after: str) -> None:
        """Wait for an event after an id, about a second at most."""

    def kill(self, agent_id: str, options: KillOptions) -> None:
        """Kill an agent and wait for the confirmation."""

    def targets(self, scope: KillScope) -> int | None:
        """Return how many agents a kill of this scope would kill; None if that is unknown."""

    def kill_all(self, scope: KillScope, options: KillOptions) -> KillReport:
        """Kill the active agents of a scope and wait for the confirmations."""

    def halt(self, why: str) -> bool:
        """Admit no new agents; return whether the halt is on disk."""

    def resume(self, why: str) -> int:
        """Lift the halt; return how many agents had been waiting."""

    def acknowledge(self, agent_id: str, why: str, *, for_s: float | None) -> None:
        """Acknowledge the present reason of an agent.

        Raises:
            TransitionRefused: it needs no attention, or a process of it may still run.
        """

    def withdraw_acknowledgement(self, agent_id: str, why: str) -> None:
        """Withdraw the acknowledgement of an agent, if there is one."""

    def budget(self) -> BudgetSummary:
        """Return the budget of today."""

    def set_limit(self, name: LimitName, value: str, why: str) -> BudgetLimits:
        """Change a limit; return those in force."""

    def audit(self, *, limit: int, agent_id: str) -> tuple[AuditEntry, ...]:
        """Return the last entries of the audit."""

    def queues(self) -> tuple[QueueState, ...]:
        """Return the state of each queue."""

    def pause_queue(self, name: str, why: str) -> None:
        """Pause a queue.

        Raises:
            NotFound: there is no such queue.
        """

    def resume_queue(self, name: str, why: str) -> None:
        """Resume a queue.

        Raises:
            NotFound: there is no such queue.
        """

    def spawn(self, document: Mapping[str, Any], *, idempotency_key: str) -> str:
        """Spawn an agent; return its id."""

    def retry(self, agent_id: str, *, is_afresh: bool, may_edit: tuple[str, ...], why: str) -> str:
        """Spawn the request of an ended agent again; return the id of the new agent."""


def all_pages(
    client: Client, wanted: AgentFilter, *, with_receipts: bool = False
) -> Iterator[Listing]:
    """Yield every page of the agents that match, newest first."""
    cursor: str | None = ""
    while cursor is not None:
        page = client.agents(wanted, limit=MAX_LIMIT, cursor=cursor, with_receipts=with_receipts)
        yield page
        cursor = page.next_cursor
