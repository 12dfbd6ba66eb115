"""The operations on one agent's record: reading it, moving it, keeping its lease."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.errors import AttemptStale, NotFound, OrchestratorError, TransitionRefused
from orchestrator.lifecycle.fsm import ACTIVE, FINAL, TASK_STATUS, sources
from orchestrator.messages import (
    CLEANUP_QUEUE,
    CLEANUP_TASK,
    GATE_CHECK_TASK,
    GATES_QUEUE,
    StageMessage,
    result_frame,
    result_key,
)
from orchestrator.models import (
    AgentState,
    Outcome,
    Phase,
    SpawnRequest,
    Status,
    TaskState,
    iso_instant,
)
from orchestrator.store import keys
from orchestrator.store.operations import (
    Operation,
    call,
    command,
    nothing,
    parse_record,
    read_record,
    text,
)
from orchestrator.store.streams import EVENTS_CAP

#: How long Celery's result stays: as long as a client may reasonably ask (Celery's own default).
RESULT_TTL_S = int(timedelta(days=1).total_seconds())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOME_FIELDS = tuple(field.alias or name for name, field in Outcome.model_fields.items())


@dataclass(frozen=True)
class Move:
    """One guarded step of an agent; what is not given stays as it is."""

    sources: tuple[Status, ...]
    to: Status | None = None
    phases: tuple[Phase, ...] = ()
    attempt: int | None = None
    new_attempt: bool = False
    patch: Mapping[str, Any] = field(default_factory=dict)
    event: str = ""
    lease_s: float | None = None
    release: bool = False
    message: StageMessage | None = None


@dataclass(frozen=True)
class Moved:
    """The agent's state after a move, and before it."""

    state: AgentState
    before: AgentState


def now_ms(now: datetime) -> int:
    """Return an instant as Valkey's scores keep it, cut to milliseconds as the records are."""
    return (now - _EPOCH) // timedelta(milliseconds=1)


def find(agent_id: str) -> Operation[AgentState | None]:
    """Read an agent's state; None where there is none."""
    return read_record(AgentState, keys.agent(agent_id))


def read(agent_id: str) -> Operation[AgentState]:
    """Read an agent's state.

    Raises:
        NotFound: there is no such agent.
    """
    return _required(find(agent_id), f"There is no agent {agent_id}.")


def read_task(task_id: str) -> Operation[TaskState]:
    """Read a task's state.

    Raises:
        NotFound: there is no such task.
    """
    found = read_record(TaskState, keys.task(task_id))
    return _required(found, f"There is no task {task_id}.")


def read_request(agent_id: str) -> Operation[SpawnRequest]:
    """Read the request an agent came from.

    Raises:
        NotFound: there is no such agent.
    """
    found = read_record(SpawnRequest, keys.request(agent_id))
    return _required(found, f"There is no request of agent {agent_id}.")


def move(agent: AgentState, step: Move, *, now: datetime, tag: str = "") -> Operation[Moved]:
    """Move an agent in one atomic step; `tag` names the message's delivery.

    Touches: the agent, its task, leases, status indexes, the event stream and channel, the queue
    of the message, and Celery's result when the agent ends.

    Raises:
        NotFound: there is no such agent.
        AttemptStale: another attempt owns it.
        TransitionRefused: its status or phase does not allow the move.
    """
    instant = iso_instant(now)
    final = step.to in FINAL
    document = {
        "agentId": agent.agent_id,
        "from": step.sources,
        "phases": step.phases or None,
        "attempt": step.attempt,
        "bump": step.new_attempt,
        "to": step.to,
        "final": final,
        "patch": dict(step.patch),
        "taskPatch": _task_patch(step, instant),
        "event": _event(step, instant),
        "nowMs": now_ms(now),
        "release": step.release,
        "leaseUntilMs": None if step.lease_s is None else now_ms(now) + round(step.lease_s * 1000),
        "statuses": tuple(Status),
        "outcome": _OUTCOME_FIELDS,
    }
    message = step.message
    before, after = result_frame(agent.agent_id, now) if final else ("", "")
    return call(
        "transition",
        (
            keys.agent(agent.agent_id),
            keys.task(agent.task_id),
            keys.LEASES,
            keys.EVENTS_STREAM,
            result_key(agent.agent_id),
            *(keys.status_index(status) for status in Status),
            *((message.key,) if message else ()),
        ),
        (
            json.dumps({name: value for name, value in document.items() if value is not None}),
            keys.EVENTS_CHANNEL,
            EVENTS_CAP,
            message.envelope(delivery_tag=tag, origin="orchestrator") if message else "",
            before,
            after,
            RESULT_TTL_S,
        ),
        lambda reply: _moved(agent.agent_id, reply),
    )


def claim(agent: AgentState, worker: str, *, lease_s: float, now: datetime) -> Operation[Moved]:
    """Take a queued agent for a new attempt; its number is the fencing token."""
    step = Move(
        sources=(Status.SPAWNING,),
        phases=(Phase.QUEUED,),
        new_attempt=True,
        patch={"phase": Phase.PREPARING, "worker": worker},
        lease_s=lease_s,
    )
    return move(agent, step, now=now)


def start(
    agent: AgentState, *, base_commit: str, lease_s: float, now: datetime
) -> Operation[Moved]:
    """Say that the agent's process runs."""
    step = Move(
        sources=sources(Status.RUNNING),
        to=Status.RUNNING,
        attempt=agent.attempt,
        patch={
            "phase": Phase.EXECUTING,
            "startedAt": iso_instant(now),
            "baseCommit": base_commit,
        },
        event=f"agent.{Status.RUNNING}",
        lease_s=lease_s,
    )
    return move(agent, step, now=now)


def update(agent: AgentState, patch: Mapping[str, Any], *, now: datetime) -> Operation[Moved]:
    """Write facts of this attempt into the record of an active agent."""
    step = Move(sources=tuple(ACTIVE), attempt=agent.attempt, patch=patch)
    return move(agent, step, now=now)


def hand_over(
    agent: AgentState, patch: Mapping[str, Any], *, now: datetime, tag: str
) -> Operation[Moved]:
    """Give a running agent to the gates: its phase, its freed lease and the message at once."""
    gate_check = StageMessage(
        GATE_CHECK_TASK, GATES_QUEUE, agent.agent_id, agent.priority, agent.attempt
    )
    step = Move(
        sources=(Status.RUNNING,),
        attempt=agent.attempt,
        patch={**patch, "phase": Phase.AWAITING_GATES},
        release=True,
        message=gate_check,
    )
    return move(agent, step, now=now, tag=tag)


def take_over(agent: AgentState, worker: str, *, lease_s: float, now: datetime) -> Operation[Moved]:
    """Take a handed-over agent to its gates; a second delivery of the message is refused."""
    step = Move(
        sources=(Status.RUNNING,),
        phases=(Phase.AWAITING_GATES,),
        attempt=agent.attempt,
        patch={"phase": Phase.GATING, "worker": worker},
        lease_s=lease_s,
    )
    return move(agent, step, now=now)


def end(
    agent: AgentState,
    to: Status,
    *,
    now: datetime,
    tag: str,
    patch: Mapping[str, Any] | None = None,
    error: OrchestratorError | None = None,
) -> Operation[Moved]:
    """End this attempt's agent: final state, event, Celery result and the message to clean up."""
    cleanup = StageMessage(
        CLEANUP_TASK, CLEANUP_QUEUE, agent.agent_id, agent.priority, agent.attempt
    )
    facts: dict[str, Any] = {
        **(patch or {}),
        "phase": Phase.ENDED,
        "completedAt": iso_instant(now),
    }
    if error is not None:
        facts |= {"error": str(error), "errorCode": error.code}
    step = Move(
        sources=sources(to),
        to=to,
        attempt=agent.attempt,
        patch=facts,
        event=f"agent.{to}",
        message=cleanup,
    )
    return move(agent, step, now=now, tag=tag)


def cleaned(agent: AgentState, *, now: datetime) -> Operation[Moved]:
    """Say once that an ended agent has been cleaned up; refused when it was said before."""
    step = Move(
        sources=tuple(FINAL),
        phases=(Phase.ENDED,),
        attempt=agent.attempt,
        patch={"phase": Phase.CLEANED},
        event="agent.cleanup",
    )
    return move(agent, step, now=now)


def heartbeat(agent: AgentState, *, lease_s: float, now: datetime) -> Operation[str]:
    """Renew the lease; the reply is `held`, `stale`, `absent` or the status that ended it."""
    deadline = now_ms(now) + round(lease_s * 1000)
    return call(
        "heartbeat",
        (keys.agent(agent.agent_id), keys.LEASES),
        (agent.agent_id, agent.attempt, deadline),
        text,
    )


def expired(now: datetime, *, limit: int = 100) -> Operation[tuple[str, ...]]:
    """List agents whose lease has ended, the longest first."""
    return command(
        "ZRANGE",
        keys.LEASES,
        "-inf",
        now_ms(now),
        "BYSCORE",
        "LIMIT",
        0,
        limit,
        decode=lambda reply: tuple(agent_id.decode() for agent_id in reply),
    )


def drop_lease(agent_id: str) -> Operation[None]:
    """Remove a lease that belongs to no agent."""
    return command("ZREM", keys.LEASES, agent_id, decode=nothing)


def _required(found: Operation[Any], message: str) -> Operation[Any]:
    def decode(reply: Any) -> Any:
        record = found.decode(reply)
        if record is None:
            raise NotFound(message)
        return record

    return Operation(found.arguments, decode, found.script)


def _task_patch(step: Move, instant: str) -> dict[str, Any] | None:
    status = step.to or (Status.SPAWNING if step.new_attempt else None)
    if status is None:
        return None
    document = {"status": TASK_STATUS[status], "updatedAt": instant}
    if status in FINAL:
        document["completedAt"] = instant
    if error := step.patch.get("error"):
        document["error"] = error
    return document


def _event(step: Move, instant: str) -> dict[str, str] | None:
    return {"type": step.event, "timestamp": instant} if step.event else None


def _moved(agent_id: str, reply: list[bytes]) -> Moved:
    answer = reply[0].decode()
    if answer == "absent":
        msg = f"There is no agent {agent_id}."
        raise NotFound(msg)
    key = keys.agent(agent_id)
    state = parse_record(AgentState, key, reply[1])
    if answer == "stale":
        msg = f"Agent {agent_id} is owned by attempt {state.attempt}."
        raise AttemptStale(msg)
    if answer == "refused":
        msg = f"Agent {agent_id} is {state.status} ({state.phase}): this step is not allowed."
        raise TransitionRefused(msg)
    return Moved(state, parse_record(AgentState, key, reply[2]))
