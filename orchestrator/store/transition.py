"""The one guarded step by which an agent's record changes, as a value and as an operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.errors import (
    AttemptStale,
    ChangeMissing,
    Halted,
    NoSlotFree,
    NotFound,
    TransitionRefused,
)
from orchestrator.messages import StageMessage, celery_priority, result_frame, result_key
from orchestrator.models import AgentState, Outcome, Phase, Status, iso_instant
from orchestrator.models.state_machine import FINAL, TASK_STATUS
from orchestrator.models.warning import AgentWarning
from orchestrator.store import keys
from orchestrator.store.events import EVENTS_CAP
from orchestrator.store.operations import Operation, call, parse_record, to_json
from orchestrator.store.usage_bounds import plausible

#: How long Celery's result stays: as long as a client may reasonably ask (Celery's own default).
RESULT_TTL_S = int(timedelta(days=1).total_seconds())
#: The longest reason of an event (characters).
REASON_LIMIT = 500
#: One step of priority in an urgency; the instants below it stay so for three centuries.
URGENCY_STEP = 10**13
#: One list of messages among those that are awaited.
AWAITED_STEP = 10**13
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The fields of an agent that its outcome shows, as the wire names them.
OUTCOME_FIELDS = tuple(field.alias or name for name, field in Outcome.model_fields.items())


@dataclass(frozen=True)
class Move:
    """One guarded step of an agent; what is not given stays as it is."""

    sources: tuple[Status, ...]
    to: Status | None = None
    phases: tuple[Phase, ...] = ()
    attempt: int | None = None
    new_attempt: bool = False
    #: Refused while the latch stands.
    heeds_halt: bool = False
    patch: Mapping[str, Any] = field(default_factory=dict)
    event: str = ""
    #: What the event tells, where that is not the agent's end.
    warning: AgentWarning | None = None
    #: For the event of a fallback: the choice before.
    fallback_from: str = ""
    #: Why it is made, for its events, and the code of the error that caused it.
    reason: str = ""
    reason_code: str = ""
    lease_s: float | None = None
    release: bool = False
    message: StageMessage | None = None
    #: Only if the lease still ends at this instant: it was found expired, and not renewed since.
    #: After a jump of Valkey's clock, a comparison with the present would take renewed ones too.
    found_lease_ms: int | None = None
    #: Instead of a message: it is sent, by whoever looks, from this instant on.
    due_at: datetime | None = None
    #: It takes one of the fleet's places; without one it waits, and the message calls it.
    takes_slot: bool = False
    #: Only while the change of the agent's attempt is stored: the next stage begins with it.
    needs_change: bool = False


@dataclass(frozen=True)
class Moved:
    """The agent's state after a move, and before it."""

    state: AgentState
    before: AgentState
    #: The limit that leaves it nothing to spend, where it spent or took a place; else empty.
    overrun: str = ""


def now_ms(now: datetime) -> int:
    """Return an instant as Valkey's scores keep it, cut to milliseconds as the records are."""
    return (now - _EPOCH) // timedelta(milliseconds=1)


def urgency(agent: AgentState) -> int:
    """Return where an agent stands among those who wait: the least goes first."""
    return celery_priority(agent.priority) * URGENCY_STEP + now_ms(agent.spawned_at)


def awaited(message: StageMessage, now: datetime) -> int:
    """Return where an agent stands among those whose message is in a list: by list, then instant.

    `lua/missing_messages.lua` compares them with the lists.
    """
    return message.list_number * AWAITED_STEP + now_ms(now)


def holder_of(agent: AgentState) -> str:
    """Return who holds an agent beside its attempt's number, as the scripts compare it.

    After a failover that lost a second two workers may hold the same number.
    """
    return f"{agent.worker or ''} {agent.worker_process or ''}"


def move(agent: AgentState, step: Move, *, now: datetime, tag: str = "") -> Operation[Moved]:
    """Move an agent in one atomic step; `tag` names the message's delivery.

    Touches: the agent, its task, leases, status indexes, the event stream and channel, the queue
    of the message, Celery's result when the agent ends, and the budget: the day's account follows
    the agent's `usage`, its reservation and its slot return with its end. A usage that is not
    plausible is left out and reported by an event; the rest of the move is made.

    Raises:
        NotFound: there is no such agent.
        AttemptStale: another attempt, or another worker, owns it.
        TransitionRefused: its status or phase does not allow the move.
        Halted: the move heeds the latch, and it stands.
        NoSlotFree: the move claims a slot, and none is left; it waits for one.
        ChangeMissing: the change that the move needs is not stored.
        ArgumentRefused: a value of the patch cannot be stored; nothing was written.
    """
    instant = iso_instant(now)
    final = step.to in FINAL
    patch, is_usage_refused = plausible(step.patch)
    document = {
        "agentId": agent.agent_id,
        "from": step.sources,
        "phases": step.phases or None,
        "attempt": step.attempt,
        "holder": None if step.attempt is None else holder_of(agent),
        "bump": step.new_attempt,
        "heedsHalt": step.heeds_halt,
        "needsChange": step.needs_change,
        "to": step.to,
        "final": final,
        # Empty ones are left out of records, as `Record.wire` does. Who is let go of waits again.
        "patch": {name: value for name, value in patch.items() if value not in ([], {}, ())}
        | ({"waitingSince": instant} if step.release else {}),
        "usageRefused": is_usage_refused or None,
        "taskPatch": _task_patch(step, instant),
        "event": _event(step),
        "reason": " ".join(step.reason.split())[:REASON_LIMIT] or None,
        "reasonCode": step.reason_code or None,
        "timestamp": instant,
        "nowMs": now_ms(now),
        "release": step.release,
        "leaseUntilMs": None if step.lease_s is None else now_ms(now) + round(step.lease_s * 1000),
        "foundLeaseMs": step.found_lease_ms,
        "dueMs": None if step.due_at is None else now_ms(step.due_at),
        "urgency": urgency(agent) if step.takes_slot else None,
        "outcome": OUTCOME_FIELDS,
    }
    message = step.message
    if message and not step.takes_slot:
        document["awaited"] = awaited(message, now)
    before, after = result_frame(agent.agent_id, now) if final else ("", "")
    return call(
        "transition",
        {
            "agent": keys.agent(agent.agent_id),
            "task": keys.task(agent.task_id),
            "leases": keys.LEASES,
            "events": keys.EVENTS_STREAM,
            "trail": keys.trail(agent.agent_id),
            "result": result_key(agent.agent_id),
            "halt": keys.HALT,
            "delayed": keys.DELAYED,
            "agents": keys.AGENTS,
            "index": keys.index(),
            "listed": keys.lists(),
            "budget": keys.budget(now),
            "change": keys.change(agent.agent_id, agent.attempt),
            **({"queue": message.key} if message else {}),
        },
        (
            to_json({name: value for name, value in document.items() if value is not None}),
            keys.EVENTS_CHANNEL,
            EVENTS_CAP,
            message.envelope(delivery_tag=tag, origin="orchestrator") if message else "",
            before,
            after,
            RESULT_TTL_S,
        ),
        lambda reply: _moved(agent.agent_id, reply),
    )


def _task_patch(step: Move, instant: str) -> dict[str, Any] | None:
    is_assigned = step.new_attempt and Status.SPAWNING in step.sources
    status = step.to or (Status.SPAWNING if is_assigned else None)
    if status is None:
        return None
    document = {"status": TASK_STATUS[status], "updatedAt": instant}
    if status in FINAL:
        document["completedAt"] = instant
    if error := step.patch.get("error"):
        document["error"] = error
    return document


def _event(step: Move) -> dict[str, str] | None:
    if not step.event:
        return None
    reported = {"type": step.event}
    if step.warning is not None:
        reported |= {"error": step.warning.text, "errorCode": step.warning.code}
    if step.fallback_from:
        reported |= {"fallbackFrom": step.fallback_from}
    return reported


def _moved(agent_id: str, reply: list[bytes]) -> Moved:
    answer = reply[0].decode()
    if answer == "absent":
        msg = f"There is no agent {agent_id}."
        raise NotFound(msg)
    if answer == "halted":
        raise Halted
    key = keys.agent(agent_id)
    state = parse_record(AgentState, key, reply[1])
    if answer == "stale":
        msg = f"Agent {agent_id} is owned by attempt {state.attempt} of {state.worker}."
        raise AttemptStale(msg)
    if answer == "full":
        msg = f"Agent {agent_id} waits for a place."
        raise NoSlotFree(msg)
    if answer == "lacks":
        msg = f"The change of agent {agent_id} is not stored any more."
        raise ChangeMissing(msg)
    if answer == "refused":
        msg = f"Agent {agent_id} is {state.status} ({state.phase}): this step is not allowed."
        raise TransitionRefused(msg)
    return Moved(state, parse_record(AgentState, key, reply[2]), reply[3].decode())
