"""The client that uses the HTTP API, for an operator without a way to Valkey."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from orchestrator.cli.clients.interface import AgentFilter, Inspection, KillOptions, Listing
from orchestrator.cli.clients.requests import ApiRequests, segment
from orchestrator.cli.output.text import notify
from orchestrator.control.budget import DEFAULT, LimitName, parse_limit
from orchestrator.errors import ApiUnreachable, NotFound
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
    SpawnRequest,
    Status,
    iso_instant,
)
from orchestrator.models.attention import Attention
from orchestrator.models.offered import OfferedModels
from orchestrator.models.retained import Retained
from orchestrator.models.state_machine import FINAL
from orchestrator.queries.agent_list import MAX_LIMIT
from orchestrator.queries.follow import Snapshot
from orchestrator.settings import Settings
from orchestrator.store.events import StreamedEvent

#: How often a command without an event stream asks again.
_POLL_S = 1.0
_LINES = 1000
_AUDIT_PAGE = 1000
#: The event stream from its first event.
_FIRST = "0-0"
_REPORTS = TypeAdapter(tuple[GateReport, ...])


@dataclass(frozen=True)
class HttpClient:
    """A system by its HTTP API; the methods are those of `Client`."""

    api: ApiRequests

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[HttpClient]:
        """Open a client of the API and the key in the settings."""
        with ApiRequests.open(settings) as api:
            yield cls(api)

    # ── agents ──────────────────────────────────────────────────────────────────────────────

    def full_id(self, given: str) -> str:
        # Validated: files are named after it.
        return self.agent(given).agent_id

    def agent(self, agent_id: str) -> AgentState:
        return AgentState.model_validate(self.api.get(f"/agents/{segment(agent_id)}/status"))

    def agents(
        self, wanted: AgentFilter, *, limit: int, cursor: str, with_receipts: bool = False
    ) -> Listing:
        query = {**_query(wanted), "limit": limit, "cursor": cursor, "attention": "true"}
        if with_receipts:
            query["receipts"] = "true"
        return _listing(self.api.get("/agents", **query))

    def counts(self) -> Mapping[Status, int]:
        return {
            Status(name): int(count) for name, count in self.api.get("/fleet")["counts"].items()
        }

    def urgent(self, wanted: AgentFilter) -> tuple[tuple[AgentState, Attention], ...]:
        pairs: list[tuple[AgentState, Attention]] = []
        query = {**_query(wanted), "limit": MAX_LIMIT, "urgent": "true"}
        cursor: str | None = ""
        while cursor is not None:
            found = _listing(self.api.get("/agents", **query, cursor=cursor))
            pairs += [(agent, found.attention[agent.agent_id]) for agent in found.agents]
            cursor = found.next_cursor
        return tuple(pairs)

    def why(self, agent_id: str) -> Attention:
        return Attention.model_validate(self.api.get(f"/agents/{segment(agent_id)}/why"))

    def inspect(self, agent_id: str, *, lines: int) -> Inspection:
        path = f"/agents/{segment(agent_id)}"
        try:
            receipt: Receipt | None = self.receipt(agent_id)
        except NotFound:
            receipt = None
        return Inspection(
            agent=self.agent(agent_id),
            request=SpawnRequest.model_validate(self.api.get(f"{path}/request")),
            events=tuple(_event(one).event for one in self.api.get(f"{path}/timeline")["events"]),
            reports=self.reports(agent_id),
            receipt=receipt,
            log=self.log_end(agent_id, lines),
            reason=self.why(agent_id),
        )

    def reports(self, agent_id: str) -> tuple[GateReport, ...]:
        found = self.api.get(f"/agents/{segment(agent_id)}/gates")
        return _REPORTS.validate_python(found["reports"])

    def patch(self, agent_id: str, ref: str = "") -> str:
        parts = self.api.parts(f"/agents/{segment(agent_id)}/diff", ref=ref)
        return b"".join(parts).decode(errors="replace")

    def export(self, agent_id: str, *, ref: str, as_patch: bool) -> Iterator[bytes]:
        path = f"/agents/{segment(agent_id)}/export"
        yield from self.api.parts(path, ref=ref, format="patch" if as_patch else "bundle")

    def retained(self, agent_id: str) -> tuple[Retained, ...]:
        return tuple(self.agent(agent_id).retained or ())

    def receipt(self, agent_id: str) -> Receipt:
        return Receipt.model_validate(self.api.get(f"/agents/{segment(agent_id)}/receipt"))

    # ── output and events ───────────────────────────────────────────────────────────────────

    def log(self, agent_id: str, *, after: str = "") -> Iterator[LogLine]:
        while True:
            page = self.api.get(f"/agents/{segment(agent_id)}/logs", cursor=after, limit=_LINES)
            yield from map(LogLine.model_validate, page["lines"])
            if "nextCursor" not in page:
                return
            after = page["nextCursor"]

    def log_end(self, agent_id: str, count: int) -> tuple[LogLine, ...]:
        if count > _LINES:
            return tuple(self.log(agent_id))[-count:]
        page = self.api.get(f"/agents/{segment(agent_id)}/logs", tail=count)
        return tuple(map(LogLine.model_validate, page["lines"]))

    def follow(self, agent_id: str, *, after: str = "") -> Iterator[Snapshot]:
        while True:
            # The state first: what an ended agent printed is complete.
            agent = self.agent(agent_id)
            lines = tuple(self.log(agent_id, after=after))
            after = lines[-1].id if lines else after
            yield Snapshot(agent, lines, after, "")
            if agent.status in FINAL:
                return
            time.sleep(_POLL_S)

    def events(self, after: str) -> Iterator[StreamedEvent]:
        end = self.last_event_id()
        if _position(after) >= _position(end):
            return
        for one in self._stream(after):
            yield one
            if _position(one.id) >= _position(end):
                return

    def last_event_id(self) -> str:
        with self.api.opened("/agents/events", {}) as answer:
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    return line.removeprefix("id: ")
        msg = "The event stream ended before its first line."
        raise ApiUnreachable(msg)

    def follow_events(self, after: str) -> Iterator[StreamedEvent]:
        is_away = False
        while True:
            try:
                for one in self._stream(after):
                    if is_away:
                        notify("the API answers again; nothing was missed")
                        is_away = False
                    yield one
                    after = one.id
            except ApiUnreachable as error:
                if not is_away:
                    notify(f"{error.detail} It goes on when it answers again.")
                is_away = True
            time.sleep(_POLL_S)

    def _stream(self, after: str) -> Iterator[StreamedEvent]:
        event_id = after
        with self.api.opened("/agents/events", {"Last-Event-ID": after}) as answer:
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    event_id = line.removeprefix("id: ")
                elif line == "event: reset":
                    notify("events before the first one shown were removed from the stream")
                    # All that are left: each is newer than those that were removed.
                    yield from self._stream(_FIRST)
                    return
                elif line.startswith("data: ") and '"type"' in line:
                    yield _event({**json.loads(line.removeprefix("data: ")), "id": event_id})

    def await_event(self, after: str) -> None:
        del after
        time.sleep(_POLL_S)

    # ── actions ─────────────────────────────────────────────────────────────────────────────

    def kill(self, agent_id: str, options: KillOptions) -> None:
        self.api.post(f"/agents/{segment(agent_id)}/kill", **_kill(options))

    def targets(self, scope: KillScope) -> int | None:
        del scope
        return None

    def kill_all(self, scope: KillScope, options: KillOptions) -> KillReport:
        asked = scope.model_dump(mode="json", by_alias=True, exclude_none=True)
        return KillReport.model_validate(
            self.api.post("/agents/kill-all", **asked, **_kill(options))
        )

    def halt(self, why: str) -> bool:
        return bool(self.api.post("/halt", reason=why)["onDisk"])

    def resume(self, why: str) -> int:
        return int(self.api.post("/resume", reason=why)["waiting"])

    def acknowledge(self, agent_id: str, why: str, *, for_s: float | None) -> None:
        body = {} if for_s is None else {"forS": for_s}
        self.api.post(f"/agents/{segment(agent_id)}/acknowledge", reason=why, **body)

    def withdraw_acknowledgement(self, agent_id: str, why: str) -> None:
        self.api.post(f"/agents/{segment(agent_id)}/acknowledge", reason=why, withdraw=True)

    def budget(self) -> BudgetSummary:
        return BudgetSummary.model_validate(self.api.get("/budget"))

    def set_limit(self, name: LimitName, value: str, why: str) -> BudgetLimits:
        # The server takes numbers; the texts of people, such as 5M, are read here.
        parsed = parse_limit(name, value)
        sent: object = DEFAULT if parsed is None else parsed
        if name == "time" and isinstance(parsed, float):
            sent = round(parsed)
        changed = self.api.sent("PATCH", "/budget", json={name: sent, "reason": why})
        return BudgetLimits.model_validate(changed)

    def audit(self, *, limit: int, agent_id: str) -> tuple[AuditEntry, ...]:
        found: tuple[AuditEntry, ...] = ()
        query: dict[str, Any] = {"agentId": agent_id} if agent_id else {}
        while len(found) < limit:
            asked = min(limit - len(found), _AUDIT_PAGE)
            page = self.api.get("/audit", limit=asked, **query)
            found = (*map(AuditEntry.model_validate, page["entries"]), *found)
            if "nextBefore" not in page:
                break
            query["before"] = page["nextBefore"]
        return found

    def queues(self) -> tuple[QueueState, ...]:
        return tuple(map(QueueState.model_validate, self.api.get("/queues")["queues"]))

    def pause_queue(self, name: str, why: str) -> None:
        self.api.post(f"/queues/{segment(name)}/pause", reason=why)

    def resume_queue(self, name: str, why: str) -> None:
        self.api.post(f"/queues/{segment(name)}/resume", reason=why)

    def drifts(self) -> list[dict[str, str]]:
        """Return the inconsistencies of the records, and of the host of the API, as documents."""
        found: list[dict[str, str]] = self.api.get("/fsck")["drifts"]
        return found

    def models(self) -> tuple[OfferedModels, ...]:
        """Return what the backends offer at the host of the API."""
        return tuple(map(OfferedModels.model_validate, self.api.get("/models")["backends"]))

    def spawn(self, document: Mapping[str, Any], *, idempotency_key: str) -> str:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return str(
            self.api.sent("POST", "/agents/spawn", json=document, headers=headers)["agentId"]
        )

    def retry(self, agent_id: str, *, is_afresh: bool, may_edit: tuple[str, ...], why: str) -> str:
        path = f"/agents/{segment(agent_id)}/retry"
        body = {"mayEdit": list(may_edit)} if may_edit else {}
        return str(self.api.post(path, afresh=is_afresh, reason=why, **body)["agentId"])


def _query(wanted: AgentFilter) -> dict[str, str]:
    named = {
        "status": wanted.status,
        "agentType": wanted.agent_type,
        "taskId": wanted.task_id,
        "repository": wanted.repository,
        "code": wanted.code,
        "since": wanted.since and iso_instant(wanted.since),
    }
    return {name: str(value) for name, value in named.items() if value is not None}


def _listing(page: Mapping[str, Any]) -> Listing:
    return Listing(
        tuple(map(AgentState.model_validate, page["agents"])),
        {name: Attention.model_validate(one) for name, one in page.get("attention", {}).items()},
        page.get("nextCursor"),
        {name: Receipt.model_validate(one) for name, one in page.get("receipts", {}).items()},
    )


def _event(document: Mapping[str, Any]) -> StreamedEvent:
    facts = {name: value for name, value in document.items() if name != "id"}
    return StreamedEvent(str(document["id"]), LifecycleEvent.model_validate(facts))


def _kill(options: KillOptions) -> dict[str, Any]:
    return {"reason": options.why, "timeout": options.timeout_s, "discard": options.discard}


def _position(event_id: str) -> tuple[int, int]:
    instant_ms, _, number = event_id.partition("-")
    return int(instant_ms), int(number or 0)
