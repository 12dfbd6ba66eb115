"""Registers an agent and enqueues its spawn in one atomic step, or refuses a raw request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import ceil
from typing import Any

from orchestrator.errors import (
    BudgetExhausted,
    DollarsExhausted,
    Halted,
    IdempotencyConflict,
    OrchestratorError,
    PriceUnknown,
)
from orchestrator.messages import (
    SPAWN_QUEUE,
    SPAWN_TASK,
    StageMessage,
    result_frame,
    result_key,
)
from orchestrator.models import (
    AgentState,
    AuditAction,
    AuditDraft,
    Halt,
    LifecycleEvent,
    ModelChoice,
    Outcome,
    Phase,
    SpawnRequest,
    Status,
    TaskState,
    TaskStatus,
)
from orchestrator.store import keys
from orchestrator.store.events import EVENTS_CAP
from orchestrator.store.operations import Operation, call, nothing, parse_record
from orchestrator.store.transition import RESULT_TTL_S, awaited, now_ms

#: How long an Idempotency-Key is remembered.
IDEMPOTENCY_TTL_S = int(timedelta(days=1).total_seconds())
#: The length of the reply that refuses an agent for lack of dollars; that for tokens is longer.
_DOLLARS_REPLY = 3


@dataclass(frozen=True)
class Submitted:
    """The agent of a request; `is_new` is False where it was already registered."""

    agent_id: str
    is_new: bool


def submission(
    request: SpawnRequest,
    *,
    agent_id: str,
    choices: Sequence[ModelChoice],
    now: datetime,
    tag: str,
    note: AuditAction,
    idempotency_key: str = "",
    start: Mapping[str, object] | None = None,
    unpriced: str = "",
) -> Operation[Submitted]:
    """Register an agent, reserve its tokens, enqueue its spawn, note who asked: all or nothing.

    The first of `choices` is the agent's, the others are its fallbacks. `start` holds facts of the
    agent that another one left for it. Repeating a submission with the same agentId, or the same
    key and body, changes nothing and answers with the first agent. An idempotency key belongs to
    the caller that the note names.

    Raises:
        IdempotencyConflict: the key was used with another body.
        Halted: no new work is admitted.
        BudgetExhausted: today's tokens do not hold what it reserves.
        DollarsExhausted: today's dollars are spent.
        PriceUnknown: dollars are limited, and `unpriced` names a model of it without a price.
    """
    message = StageMessage(SPAWN_TASK, SPAWN_QUEUE, agent_id, request.priority)
    chosen = choices[0]
    state = AgentState(
        agent_id=agent_id,
        task_id=request.task_id,
        status=Status.SPAWNING,
        phase=Phase.QUEUED,
        agent_type=request.agent_type,
        agent=chosen.agent,
        model=chosen.model,
        effort=chosen.effort,
        choices=tuple(choices) if len(choices) > 1 else (),
        repository=request.context.repository,
        base_branch=request.context.branch,
        gate_profile=request.profile,
        priority=request.priority,
        max_retries=request.max_retries,
        max_cost_usd=request.max_cost_usd,
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
        agent=state.agent,
        model=state.model,
        effort=state.effort,
    )
    body = json.dumps(request.wire(), sort_keys=True)
    return call(
        "register",
        {
            "agent": keys.agent(agent_id),
            "task": keys.task(request.task_id),
            "request": keys.request(agent_id),
            "agents": keys.AGENTS,
            "spawning": keys.status_index(Status.SPAWNING),
            "listed": keys.listed(Status.SPAWNING),
            "task_agents": keys.task_agents(request.task_id),
            "trail": keys.trail(agent_id),
            "events": keys.EVENTS_STREAM,
            "queue": message.key,
            "halt": keys.HALT,
            "budget": keys.budget(now),
            "audit_waiting": keys.AUDIT_WAITING,
            **(
                {"idempotency": keys.idempotency(note.who, idempotency_key)}
                if idempotency_key
                else {}
            ),
        },
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
            awaited(message, now),
            unpriced,
        ),
        lambda reply: _submitted(reply, now),
        is_batched=True,
    )


def refusal(agent_id: str, error: OrchestratorError, *, now: datetime) -> Operation[None]:
    """Answer a raw request that is refused: Celery's result and the event, if no agent has its id.

    Touches: the result of this Celery id, and the event stream.
    """
    facts = {"agent_id": agent_id, "status": Status.FAILED, "error": str(error)}
    outcome = Outcome(**facts, error_code=error.code)
    event = LifecycleEvent(**facts, error_code=error.code, type="agent.failed", timestamp=now)
    before, after = result_frame(agent_id, now)
    document = json.dumps(outcome.model_dump(mode="json", by_alias=True))
    return call(
        "refuse",
        {
            "agent": keys.agent(agent_id),
            "result": result_key(agent_id),
            "events": keys.EVENTS_STREAM,
        },
        (
            f"{before}{document}{after}",
            RESULT_TTL_S,
            json.dumps(event.wire()),
            keys.EVENTS_CHANNEL,
            EVENTS_CAP,
        ),
        nothing,
    )


def _idempotency(who: str, key: str) -> dict[str, str]:
    return {"idempotency": keys.idempotency(who, key)} if key else {}


def _submitted(reply: list[Any], now: datetime) -> Submitted:
    answer = reply[0].decode()
    if answer == "exhausted" and len(reply) == _DOLLARS_REPLY:
        most, cost = (part.decode() for part in reply[1:])
        raise DollarsExhausted(limit=most, used=cost, resets_in_s=_left_of_day_s(now))
    if answer == "exhausted":
        limit, used, reserved, asked = reply[1:]
        raise BudgetExhausted(
            limit=limit, used=used, reserved=reserved, asked=asked, resets_in_s=_left_of_day_s(now)
        )
    agent_id = reply[1].decode()
    if answer == "unpriced":
        msg = f"Dollars are limited, and the model {agent_id} has no price."
        raise PriceUnknown(msg)
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
