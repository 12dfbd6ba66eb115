"""The one front door: a request becomes a registered agent and its message, in one step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import ceil
from typing import Any

from orchestrator.errors import (
    BudgetExhausted,
    ChangeMissing,
    Halted,
    IdempotencyConflict,
    OrchestratorError,
    RequestInvalid,
    TransitionRefused,
)
from orchestrator.gates.profiles import profiles
from orchestrator.lifecycle import agents
from orchestrator.lifecycle.fsm import FINAL
from orchestrator.lifecycle.moves import RESULT_TTL_S, now_ms
from orchestrator.messages import SPAWN_QUEUE, SPAWN_TASK, StageMessage, result_frame, result_key
from orchestrator.models import (
    AgentState,
    AuditDraft,
    AuditNote,
    Halt,
    LifecycleEvent,
    Outcome,
    Phase,
    SpawnRequest,
    Status,
    TaskState,
    TaskStatus,
)
from orchestrator.names import AGENT_ID
from orchestrator.store import changes, keys
from orchestrator.store.operations import Flow, Operation, call, nothing, parse_record
from orchestrator.store.streams import EVENTS_CAP

#: How long an Idempotency-Key is remembered.
IDEMPOTENCY_TTL_S = int(timedelta(days=1).total_seconds())


@dataclass(frozen=True)
class Submitted:
    """The agent of a request; `is_new` is False where it was already registered."""

    agent_id: str
    is_new: bool


@dataclass(frozen=True)
class FrontDoor:
    """Takes requests in, whichever way they came: HTTP, CLI, or a raw message of the broker."""

    default_agent: str
    agents: frozenset[str]
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def submit(
        self,
        document: object,
        *,
        agent_id: str = "",
        priority: int | None = None,
        idempotency_key: str = "",
        by: str = "",
    ) -> Operation[Submitted]:
        """Check a request and return the operation that registers and enqueues it.

        `agent_id` is given where the caller has already named the agent (a raw message is named
        by its Celery id), `priority` where the request itself carries none. `by` stands in the
        audit.

        Raises:
            RequestInvalid: with every fault and its path.
        """
        request = SpawnRequest.parse(document)
        if agent_id and not AGENT_ID.fullmatch(agent_id):
            raise RequestInvalid((("task_id", "must consist of letters, digits, - and _"),))
        if request.agent is not None and request.agent not in self.agents:
            known = ", ".join(sorted(self.agents))
            raise RequestInvalid((("agent", f"must be one of {known}"),))
        if unknown := set(request.gates) - profiles().gates.keys():
            known = ", ".join(profiles().gates)
            fault = f"there is no gate {min(unknown)!r}, only {known}"
            raise RequestInvalid((("gates", fault),))
        if priority is not None and "priority" not in request.model_fields_set:
            request = request.model_copy(update={"priority": priority})
        agent_id = agent_id or self.new_id()
        context = request.context
        note = AuditNote(
            action="spawn",
            who=by,
            why="",
            agent_id=agent_id,
            task_id=request.task_id,
            scope=f"{context.repository} {context.branch}",
        )
        return submission(
            request,
            agent_id=agent_id,
            agent=request.agent or self.default_agent,
            now=self.clock(),
            tag=self.new_id(),
            note=note,
            idempotency_key=idempotency_key,
        )

    def retry(
        self, agent_id: str, *, is_afresh: bool, kept_for_s: float, by: str, why: str
    ) -> Flow[Submitted]:
        """Spawn the request of an ended agent again, going on from its newest change if kept.

        `by` and `why` stand in the audit.

        Raises:
            NotFound: there is no such agent.
            TransitionRefused: it has not ended, or has completed.
            Halted: no new work is admitted.
            BudgetExhausted: today's tokens do not hold what it reserves.
        """
        agent: AgentState = yield agents.read(agent_id)
        request: SpawnRequest = yield agents.read_request(agent_id)
        if agent.status not in FINAL or agent.status is Status.COMPLETED:
            msg = f"Agent {agent_id} is {agent.status}: only what failed or was killed is retried."
            raise TransitionRefused(msg)
        new_id = self.new_id()
        start: dict[str, object] = {}
        if not is_afresh and agent.base_commit:
            try:
                _, bundle = yield from changes.newest_change(agent_id, agent.attempt)
            except ChangeMissing:
                start = {}
            else:
                # As if its attempt 0 had been rejected: the first round goes on from there.
                yield changes.save_change(new_id, 0, bundle, for_s=kept_for_s)
                start = {"base_commit": agent.base_commit, "continues_attempt": 0}
        submitted: Submitted = yield submission(
            request,
            agent_id=new_id,
            agent=agent.agent,
            now=self.clock(),
            tag=self.new_id(),
            note=AuditNote(
                action="retry", who=by, why=why, agent_id=agent_id, result=f"agent {new_id}"
            ),
            start=start,
        )
        return submitted

    def refuse(self, agent_id: str, error: OrchestratorError) -> Operation[None]:
        """Tell a client that knows only Celery that its request was refused: result and event."""
        now = self.clock()
        facts = {"agent_id": agent_id, "status": Status.FAILED, "error": str(error)}
        outcome = Outcome(**facts, error_code=error.code)
        event = LifecycleEvent(**facts, error_code=error.code, type="agent.failed", timestamp=now)
        before, after = result_frame(agent_id, now)
        document = json.dumps(outcome.model_dump(mode="json", by_alias=True))
        return call(
            "refuse",
            (keys.agent(agent_id), result_key(agent_id), keys.EVENTS_STREAM),
            (
                f"{before}{document}{after}",
                RESULT_TTL_S,
                json.dumps(event.wire()),
                keys.EVENTS_CHANNEL,
                EVENTS_CAP,
            ),
            nothing,
        )


def submission(
    request: SpawnRequest,
    *,
    agent_id: str,
    agent: str,
    now: datetime,
    tag: str,
    note: AuditNote,
    idempotency_key: str = "",
    start: Mapping[str, object] | None = None,
) -> Operation[Submitted]:
    """Register an agent, reserve its tokens, enqueue its spawn, note who asked: all or nothing.

    `start` holds facts of the agent that another one left for it. Repeating a submission with the
    same agentId, or the same key and body, changes nothing and answers with the first agent.

    Raises:
        IdempotencyConflict: the key was used with another body.
        Halted: no new work is admitted.
        BudgetExhausted: today's tokens do not hold what it reserves.
    """
    message = StageMessage(SPAWN_TASK, SPAWN_QUEUE, agent_id, request.priority)
    state = AgentState(
        agent_id=agent_id,
        task_id=request.task_id,
        status=Status.SPAWNING,
        phase=Phase.QUEUED,
        agent_type=request.agent_type,
        agent=agent,
        repository=request.context.repository,
        base_branch=request.context.branch,
        gate_profile=request.profile,
        priority=request.priority,
        max_retries=request.max_retries,
        attempt=0,
        spawned_at=now,
        **(start or {}),
    )
    task = TaskState(
        task_id=request.task_id,
        status=TaskStatus.PENDING,
        agent_id=agent_id,
        context=request.context,
        created_at=now,
        updated_at=now,
    )
    event = LifecycleEvent(
        type="agent.spawning",
        timestamp=now,
        agent_id=agent_id,
        task_id=request.task_id,
        status=Status.SPAWNING,
        phase=Phase.QUEUED,
        attempt=0,
    )
    body = json.dumps(request.wire(), sort_keys=True)
    return call(
        "register",
        (
            keys.agent(agent_id),
            keys.task(request.task_id),
            keys.request(agent_id),
            keys.AGENTS,
            keys.status_index(Status.SPAWNING),
            keys.task_agents(request.task_id),
            keys.EVENTS_STREAM,
            message.key,
            keys.HALT,
            *keys.budget(now),
            keys.AUDIT_WAITING,
            *((keys.idempotency(idempotency_key),) if idempotency_key else ()),
        ),
        (
            json.dumps(state.wire()),
            json.dumps(task.wire()),
            body,
            agent_id,
            now_ms(now),
            message.envelope(delivery_tag=tag, origin="orchestrator"),
            json.dumps(event.wire()),
            keys.EVENTS_CHANNEL,
            EVENTS_CAP,
            hashlib.sha256(body.encode()).hexdigest(),
            IDEMPOTENCY_TTL_S,
            AuditDraft(**note.model_dump(), id=tag, at=now).model_dump_json(by_alias=True),
        ),
        lambda reply: _submitted(reply, now),
    )


def _submitted(reply: list[Any], now: datetime) -> Submitted:
    answer = reply[0].decode()
    if answer == "exhausted":
        limit, used, reserved, asked = reply[1:]
        raise BudgetExhausted(
            limit=limit, used=used, reserved=reserved, asked=asked, resets_in_s=_left_of_day_s(now)
        )
    agent_id = reply[1].decode()
    if answer == "halted":
        halt = parse_record(Halt, keys.HALT, reply[1])
        msg = f"New work is halted by {halt.by}: {halt.why or 'no reason given'}."
        raise Halted(msg)
    if answer == "conflict":
        msg = f"This Idempotency-Key belongs to agent {agent_id}, which has another body."
        raise IdempotencyConflict(msg)
    return Submitted(agent_id, is_new=answer == "registered")


def _left_of_day_s(now: datetime) -> int:
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return ceil((datetime.combine(tomorrow, time(), UTC) - now).total_seconds())
