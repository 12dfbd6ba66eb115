"""The named steps of an agent's life, each one guarded move, and the reads beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from orchestrator.errors import ChangeMissing, GatesRejected, OrchestratorError
from orchestrator.messages import QUEUE_OF_TASK, SPAWN_TASK, StageMessage
from orchestrator.models import AgentState, GateStatus, Phase, Status, iso_instant
from orchestrator.models.state_machine import (
    ACTIVE,
    AWAITING_SPAWN,
    FINAL,
    PHASES,
    entered_from,
    restart_phase,
    sources,
)
from orchestrator.models.warning import AgentWarning
from orchestrator.store import changes
from orchestrator.store.operations import Flow, Operation
from orchestrator.store.transition import Move, Moved, move


@dataclass(frozen=True)
class FallbackStep:
    """The part of a step that changes the agent's backend or model, with its event."""

    before: str
    facts: Mapping[str, Any]
    reason: str
    reason_code: str


def claim(
    agent: AgentState,
    worker: str,
    process: str,
    *,
    lease_s: float,
    now: datetime,
    tag: str = "",
    fallback: FallbackStep | None = None,
) -> Operation[Moved]:
    """Take an agent that waits for a worker; the attempt's new number is the fencing token.

    It waits either for its first round or, rejected by its gates, for the next one. Where all of
    the fleet's places are taken it waits on; `tag` names the message that calls it then. A
    fallback was chosen for the given record, so that a newer attempt refuses it.
    """
    status = Status.RUNNING if agent.status is Status.RUNNING else Status.SPAWNING
    step = Move(
        sources=(status,),
        phases=entered_from(Phase.PREPARING, status),
        new_attempt=True,
        heeds_halt=True,
        patch={"phase": Phase.PREPARING, "worker": worker, "workerProcess": process},
        lease_s=lease_s,
        takes_slot=True,
        message=message_of(agent),
    )
    if fallback:
        step = replace(_with_fallback(step, fallback), attempt=agent.attempt)
    return move(agent, step, now=now, tag=tag)


def _with_fallback(step: Move, fallback: FallbackStep) -> Move:
    return replace(
        step,
        patch={**step.patch, **fallback.facts},
        event="agent.fallback",
        fallback_from=fallback.before,
        reason=fallback.reason,
        reason_code=fallback.reason_code,
    )


def start(
    agent: AgentState, *, base_commit: str, lease_s: float, now: datetime
) -> Operation[Moved]:
    """Say that the agent's process runs, and where; a later round goes on from the same base."""
    facts = {"phase": Phase.EXECUTING, "sandbox": agent.sandbox, "waitingFor": None}
    if agent.status is Status.RUNNING:
        step = Move(
            sources=(Status.RUNNING,),
            attempt=agent.attempt,
            patch=facts,
            lease_s=lease_s,
        )
        return move(agent, step, now=now)
    step = Move(
        # Sent again after a lost reply it says the same.
        sources=(*sources(Status.RUNNING), Status.RUNNING),
        phases=(*PHASES[Phase.EXECUTING].follows, Phase.EXECUTING),
        to=Status.RUNNING,
        attempt=agent.attempt,
        patch={
            **facts,
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


def stall(agent: AgentState, *, since: datetime | None, now: datetime) -> Operation[Moved]:
    """Say that an agent is stuck, or with None that it moves again."""
    step = Move(
        sources=(Status.RUNNING,),
        attempt=agent.attempt,
        patch={"stalledSince": iso_instant(since) if since else None},
        event="agent.stalled" if since else "agent.active",
    )
    return move(agent, step, now=now)


def warn(agent: AgentState, warning: AgentWarning, *, now: datetime) -> Operation[Moved]:
    """Tell by an event what may end a running agent; its record stays as it is."""
    step = Move(
        sources=(Status.RUNNING,), attempt=agent.attempt, event="agent.warning", warning=warning
    )
    return move(agent, step, now=now)


def enqueue_for_gates(
    agent: AgentState, patch: Mapping[str, Any], *, now: datetime, tag: str
) -> Operation[Moved]:
    """Give a running agent to the gates: its phase, its freed lease and the message at once.

    Raises as `move` does; ChangeMissing if the change of this attempt is not stored.
    """
    step = Move(
        sources=(Status.RUNNING,),
        # Sent again after a lost reply it must not take the agent from its gates.
        phases=PHASES[Phase.AWAITING_GATES].follows,
        attempt=agent.attempt,
        patch={
            **patch,
            "phase": Phase.AWAITING_GATES,
            "changeAttempt": agent.attempt,
            "stalledSince": None,
        },
        release=True,
        message=_message(agent, Phase.AWAITING_GATES, agent.attempt),
        needs_change=True,
    )
    return move(agent, step, now=now, tag=tag)


def enqueue_with_change(
    agent: AgentState, patch: Mapping[str, Any], bundle: bytes, *, now: datetime, tag: str
) -> Flow[Moved]:
    """Give a running agent to the gates; its change is stored again if a failover has lost it.

    Raises as `move` does.
    """
    try:
        moved: Moved = yield enqueue_for_gates(agent, patch, now=now, tag=tag)
    except ChangeMissing:
        # The workspace is gone by now, so this is the only copy.
        yield from changes.put_change(agent.agent_id, agent.attempt, bundle)
        moved = yield enqueue_for_gates(agent, patch, now=now, tag=tag)
    return moved


def claim_for_gates(
    agent: AgentState, worker: str, process: str, *, lease_s: float, now: datetime
) -> Operation[Moved]:
    """Take a handed-over agent to its gates; a second delivery of the message is refused."""
    step = Move(
        sources=(Status.RUNNING,),
        phases=PHASES[Phase.GATING].follows,
        attempt=agent.attempt,
        patch={"phase": Phase.GATING, "worker": worker, "workerProcess": process},
        lease_s=lease_s,
    )
    return move(agent, step, now=now)


def request_rework(
    agent: AgentState, patch: Mapping[str, Any], *, now: datetime, tag: str
) -> Operation[Moved]:
    """Give a rejected agent back to the spawn pool for another round."""
    step = Move(
        sources=(Status.RUNNING,),
        phases=PHASES[Phase.AWAITING_REWORK].follows,
        attempt=agent.attempt,
        patch={
            **patch,
            "phase": Phase.AWAITING_REWORK,
            "rounds": agent.rounds + 1,
            "continuesAttempt": agent.change_attempt,
        },
        reason=_rejection(patch),
        reason_code=GatesRejected.code,
        release=True,
        message=_message(agent, Phase.AWAITING_REWORK, agent.attempt),
    )
    return move(agent, step, now=now, tag=tag)


def _rejection(patch: Mapping[str, Any]) -> str:
    """Return which gates rejected the change, by its verdict."""
    statuses = patch.get("verdict", {}).get("gates", {})
    failed = [gate for gate, status in statuses.items() if not GateStatus(status).is_pass]
    return f"rejected by {', '.join(failed)}" if failed else "rejected"


def recover(
    agent: AgentState,
    *,
    error: OrchestratorError | None = None,
    continues: int | None,
    counts: bool,
    delay_s: float,
    now: datetime,
    tag: str,
    found_lease_ms: int | None = None,
    fallback: FallbackStep | None = None,
) -> Operation[Moved]:
    """Take an agent from an attempt that cannot go on, and let another go on with it.

    The new number fences the old attempt at once. The next one starts where this one was: before
    its first round, from the change of attempt `continues`, or with its gates. With a fallback it
    has another backend or model.
    """
    phase = restart_phase(agent.status, agent.phase)
    patch: dict[str, Any] = {
        "recoveries": agent.recoveries + counts,
        "phase": phase,
        "stalledSince": None,
    }
    if phase is Phase.AWAITING_REWORK:
        patch["continuesAttempt"] = continues
    step = Move(
        sources=(agent.status,),
        phases=(agent.phase,),
        attempt=agent.attempt,
        new_attempt=True,
        patch=patch,
        event="agent.recovering",
        reason=error.detail if error else "",
        reason_code=error.code if error else "",
        release=True,
        message=None if delay_s else _message(agent, phase, agent.attempt + 1),
        due_at=now + timedelta(seconds=delay_s) if delay_s else None,
        found_lease_ms=found_lease_ms,
    )
    if fallback:
        step = _with_fallback(step, fallback)
    return move(agent, step, now=now, tag=tag)


def delay(agent: AgentState, *, until: datetime, now: datetime, why: str = "") -> Operation[Moved]:
    """Let a waiting agent wait until an instant; its message is sent then. A reason is told."""
    step = Move(
        sources=(agent.status,),
        phases=tuple(sorted(AWAITING_SPAWN)),
        attempt=agent.attempt,
        patch={"waitingFor": why or None},
        event="agent.waiting" if why else "",
        reason=why,
        due_at=until,
    )
    return move(agent, step, now=now)


def message_of(agent: AgentState) -> StageMessage:
    """Return the message that an agent in a waiting phase waits for."""
    return _message(agent, agent.phase, agent.attempt)


def _message(agent: AgentState, phase: Phase, attempt: int) -> StageMessage:
    task = PHASES[phase].awaits_task or SPAWN_TASK
    # A spawn is of no attempt: it goes by the agent's own id.
    attempt = 0 if task == SPAWN_TASK else attempt
    return StageMessage(task, QUEUE_OF_TASK[task], agent.agent_id, agent.priority, attempt)


def end(
    agent: AgentState,
    to: Status,
    *,
    now: datetime,
    tag: str,
    patch: Mapping[str, Any] | None = None,
    error: OrchestratorError | None = None,
    found_lease_ms: int | None = None,
) -> Operation[Moved]:
    """End this attempt's agent: final state, event, Celery result and the message to clean up."""
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
        message=_message(agent, Phase.ENDED, agent.attempt),
        found_lease_ms=found_lease_ms,
    )
    return move(agent, step, now=now, tag=tag)


def cleaned(agent: AgentState, *, now: datetime) -> Operation[Moved]:
    """Say once that an ended agent has been cleaned up; refused when it was said before."""
    step = Move(
        sources=tuple(FINAL),
        phases=PHASES[Phase.CLEANED].follows,
        attempt=agent.attempt,
        patch={"phase": Phase.CLEANED},
        event="agent.cleanup",
    )
    return move(agent, step, now=now)
