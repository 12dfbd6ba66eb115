"""The client that uses Valkey: operations and flows on one store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestrator import wiring
from orchestrator.audit.log import read_entries
from orchestrator.cli.clients.interface import AgentFilter, Inspection, KillOptions, Listing
from orchestrator.cli.clients.who import who
from orchestrator.cli.output.text import notify
from orchestrator.errors import StoreUnreachable
from orchestrator.models import (
    AgentState,
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
    Status,
)
from orchestrator.models.attention import Attention
from orchestrator.models.retained import Retained
from orchestrator.queries import agent_list
from orchestrator.queries import budget as budgets
from orchestrator.queries.explanations import explain_agents, explain_one, urgent
from orchestrator.queries.fleet import count_agents
from orchestrator.queries.follow import WAIT_MS, Snapshot, poll
from orchestrator.queries.queues import overview
from orchestrator.settings import Settings
from orchestrator.store import agent_logs, agents, changes, kills
from orchestrator.store import events as event_stream
from orchestrator.store.client import Store
from orchestrator.store.events import StreamedEvent
from orchestrator.store.kills import KillOrder

if TYPE_CHECKING:
    from orchestrator.control.budget import LimitName

#: Instants come from a worker's clock, stream ids from Valkey's: they may differ by this much.
_SKEW = timedelta(minutes=5)
_TRY_AGAIN_S = 1.0


@dataclass(frozen=True)
class DirectClient:
    """A system by its Valkey; the methods are those of `Client`."""

    store: Store
    settings: Settings

    # ── agents ──────────────────────────────────────────────────────────────────────────────

    def full_id(self, given: str) -> str:
        return self.store.follow(agent_list.full_id(given))

    def agent(self, agent_id: str) -> AgentState:
        return self.store.run(agents.read(agent_id))

    def agents(
        self, wanted: AgentFilter, *, limit: int, cursor: str, with_receipts: bool = False
    ) -> Listing:
        page = self.store.follow(agent_list.page(**wanted.asked(), limit=limit, cursor=cursor))
        flow = explain_agents(page.agents, self.settings, wiring.clock())
        receipts = self.store.follow(kills.receipts_of(page.agents)) if with_receipts else {}
        return Listing(page.agents, self.store.follow(flow), page.next_cursor, receipts)

    def counts(self) -> Mapping[Status, int]:
        return self.store.follow(count_agents())

    def urgent(self, wanted: AgentFilter) -> tuple[tuple[AgentState, Attention], ...]:
        return self.store.follow(urgent(self.settings, wiring.clock(), **wanted.asked()))

    def why(self, agent_id: str) -> Attention:
        return self.store.follow(explain_one(agent_id, self.settings, wiring.clock()))

    def inspect(self, agent_id: str, *, lines: int) -> Inspection:
        agent = self.agent(agent_id)
        return Inspection(
            agent=agent,
            request=self.store.run(agents.read_request(agent_id)),
            events=tuple(self._events_of(agent)),
            reports=self.reports(agent_id),
            receipt=self.store.run(kills.find_receipt(agent_id)),
            log=self.log_end(agent_id, lines),
            reason=self.why(agent_id),
        )

    def _events_of(self, agent: AgentState) -> Iterator[LifecycleEvent]:
        since = agent.spawned_at - _SKEW
        for one in self.events(f"{round(since.timestamp() * 1000)}-0"):
            if one.event.agent_id == agent.agent_id:
                yield one.event

    def reports(self, agent_id: str) -> tuple[GateReport, ...]:
        self.agent(agent_id)
        return self.store.run(changes.read_reports(agent_id))

    def patch(self, agent_id: str, ref: str = "") -> str:
        from orchestrator.queries.changes import read_patch  # noqa: PLC0415 - git: slow to load

        return read_patch(self.settings, self.store, agent_id, ref)

    def export(self, agent_id: str, *, ref: str, as_patch: bool) -> Iterator[bytes]:
        from orchestrator.queries.changes import (  # noqa: PLC0415 - as above
            export_patch,
            export_ref,
            read_bundle,
        )

        if ref:
            yield export_ref(self.settings, self.store, agent_id, ref, as_patch=as_patch)
        elif as_patch:
            yield export_patch(self.settings, self.store, agent_id)
        else:
            yield read_bundle(self.store, agent_id)

    def retained(self, agent_id: str) -> tuple[Retained, ...]:
        from orchestrator.queries.changes import retained_refs  # noqa: PLC0415 - as above

        subjects = {one.ref: one.subject for one in self.agent(agent_id).retained or ()}
        return tuple(
            Retained.model_validate({
                "ref": one.name, "kind": one.kind, "commit": one.commit,
                "subject": subjects.get(one.name, ""),
            })
            for one in retained_refs(self.store, agent_id)
        )  # fmt: skip

    def receipt(self, agent_id: str) -> Receipt:
        return self.store.run(kills.read_receipt(agent_id))

    # ── output and events ───────────────────────────────────────────────────────────────────

    def log(self, agent_id: str, *, after: str = "") -> Iterator[LogLine]:
        self.agent(agent_id)
        while lines := self.store.follow(agent_logs.read_log(agent_id, after=after)):
            yield from lines
            after = lines[-1].id

    def log_end(self, agent_id: str, count: int) -> tuple[LogLine, ...]:
        self.agent(agent_id)
        return self.store.follow(agent_logs.last_lines(agent_id, count))

    def follow(self, agent_id: str, *, after: str = "") -> Iterator[Snapshot]:
        seen: Snapshot | None = None
        while seen is None or not seen.is_last:
            seen = self.store.follow(poll(agent_id, seen, after=after))
            yield seen

    def events(self, after: str) -> Iterator[StreamedEvent]:
        while found := self.store.run(event_stream.read_events(after=after)):
            yield from found
            after = found[-1].id

    def last_event_id(self) -> str:
        return self.store.run(event_stream.last_event_id())

    def follow_events(self, after: str) -> Iterator[StreamedEvent]:
        is_away = False
        while True:
            try:
                for one in self.events(after):
                    yield one
                    after = one.id
                self.await_event(after)
            except StoreUnreachable as error:
                if not is_away:
                    notify(f"{error.detail} It goes on when it answers again.")
                is_away = True
                time.sleep(_TRY_AGAIN_S)
            else:
                if is_away:
                    notify("Valkey answers again; nothing was missed")
                is_away = False

    def await_event(self, after: str) -> None:
        self.store.run(event_stream.wait_for_event(after, block_ms=WAIT_MS))

    # ── actions ─────────────────────────────────────────────────────────────────────────────

    def kill(self, agent_id: str, options: KillOptions) -> None:
        order = KillOrder(who(), options.why, options.discard)
        switch = wiring.kill_switch(self.settings)
        self.store.follow(switch.kill(agent_id, order, timeout_s=options.timeout_s))

    def targets(self, scope: KillScope) -> int | None:
        return len(self.store.follow(wiring.kill_switch(self.settings).targets(scope)))

    def kill_all(self, scope: KillScope, options: KillOptions) -> KillReport:
        order = KillOrder(who(), options.why, options.discard)
        switch = wiring.kill_switch(self.settings)
        return self.store.follow(switch.kill_all(scope, order, timeout_s=options.timeout_s))

    def halt(self, why: str) -> bool:
        return self.store.follow(wiring.kill_switch(self.settings).halt(who(), why))

    def resume(self, why: str) -> int:
        return self.store.follow(wiring.kill_switch(self.settings).resume(who(), why))

    def acknowledge(self, agent_id: str, why: str, *, for_s: float | None) -> None:
        service = wiring.acknowledgements(self.settings)
        self.store.follow(service.acknowledge(agent_id, by=who(), why=why, for_s=for_s))

    def withdraw_acknowledgement(self, agent_id: str, why: str) -> None:
        service = wiring.acknowledgements(self.settings)
        self.store.follow(service.withdraw(agent_id, by=who(), why=why))

    def budget(self) -> BudgetSummary:
        return self.store.follow(budgets.summary(self.settings, wiring.clock()))

    def set_limit(self, name: LimitName, value: str, why: str) -> BudgetLimits:
        return self.store.follow(wiring.budget(self.settings).set(name, value, by=who(), why=why))

    def audit(self, *, limit: int, agent_id: str) -> tuple[AuditEntry, ...]:
        return self.store.follow(read_entries(limit=limit, agent_id=agent_id))

    def queues(self) -> tuple[QueueState, ...]:
        return self.store.follow(overview(wiring.clock()))

    def pause_queue(self, name: str, why: str) -> None:
        self.store.follow(wiring.queue_pauses(self.settings).pause(name, who(), why))

    def resume_queue(self, name: str, why: str) -> None:
        self.store.follow(wiring.queue_pauses(self.settings).resume(name, who(), why))

    def spawn(self, document: Mapping[str, Any], *, idempotency_key: str) -> str:
        service = wiring.submit_service(self.settings)
        operation = service.submit(document, idempotency_key=idempotency_key, by=who())
        return self.store.run(operation).agent_id

    def retry(self, agent_id: str, *, is_afresh: bool, may_edit: tuple[str, ...], why: str) -> str:
        flow = wiring.submit_service(self.settings).retry(
            agent_id,
            is_afresh=is_afresh,
            retain_s=self.settings.retention_s,
            by=who(),
            why=why,
            may_edit=may_edit,
        )
        return self.store.follow(flow).agent_id
