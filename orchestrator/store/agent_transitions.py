"""The named steps of an agent's life, each one guarded move, and the reads beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.messages import (
    CLEANUP_QUEUE,
    CLEANUP_TASK,
    GATE_CHECK_TASK,
    GATES_QUEUE,
    SPAWN_QUEUE,
    SPAWN_TASK,
    StageMessage,
)
from orchestrator.models import AgentState, Phase, Status, iso_instant
from orchestrator.models.state_machine import ACTIVE, FINAL, sources
from orchestrator.store.operations import Operation
from orchestrator.store.transition import Move, Moved, move

#: Phases in which the change is made, and it is the gates' pool that holds the agent.
_JUDGED = frozenset({Phase.AWAITING_GATES, Phase.GATING, Phase.DELIVERING})
#: Phases in which an agent holds one of the fleet's places.
AT_WORK = frozenset({Phase.PREPARING, Phase.EXECUTING, Phase.CAPTURING})
#: Phases in which an agent waits for a message and nobody holds it.
WAITING = frozenset({Phase.QUEUED, Phase.AWAITING_GATES, Phase.AWAITING_REWORK})


def claim(
    agent: AgentState, worker: str, process: str, *, lease_s: float, now: datetime, tag: str = ""
) -> Operation[Moved]:
    """Take an agent that waits for a worker; the attempt's new number is the fencing token.

    It waits either for its first round or, rejected by its gates, for the next one. Where all of
    the fleet's places are taken it waits on; `tag` names the message that calls it then.
    """
    is_first = agent.status is not Status.RUNNING
    step = Move(
        sources=(Status.SPAWNING if is_first else Status.RUNNING,),
        phases=(Phase.QUEUED if is_first else Phase.AWAITING_REWORK,),
        new_attempt=True,
        heeds_halt=True,
        patch={"phase": Phase.PREPARING, "worker": worker, "workerProcess": process},
        lease_s=lease_s,
        takes_slot=True,
        message=message_of(agent),
    )
    return move(agent, step, now=now, tag=tag)


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
        phases=(Phase.PREPARING, Phase.EXECUTING),
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


def warn(agent: AgentState, warning: OrchestratorError, *, now: datetime) -> Operation[Moved]:
    """Tell by an event what may end a running agent; its record stays as it is."""
    step = Move(
        sources=(Status.RUNNING,), attempt=agent.attempt, event="agent.warning", warning=warning
    )
    return move(agent, step, now=now)


def enqueue_for_gates(
    agent: AgentState, patch: Mapping[str, Any], *, now: datetime, tag: str
) -> Operation[Moved]:
    """Give a running agent to the gates: its phase, its freed lease and the message at once."""
    gate_check = StageMessage(
        GATE_CHECK_TASK, GATES_QUEUE, agent.agent_id, agent.priority, agent.attempt
    )
    step = Move(
        sources=(Status.RUNNING,),
        # Sent again after a lost reply it must not take the agent from its gates.
        phases=(Phase.EXECUTING, Phase.CAPTURING),
        attempt=agent.attempt,
        patch={**patch, "phase": Phase.AWAITING_GATES, "changeAttempt": agent.attempt},
        release=True,
        message=gate_check,
    )
    return move(agent, step, now=now, tag=tag)


def claim_for_gates(
    agent: AgentState, worker: str, process: str, *, lease_s: float, now: datetime
) -> Operation[Moved]:
    """Take a handed-over agent to its gates; a second delivery of the message is refused."""
    step = Move(
        sources=(Status.RUNNING,),
        phases=(Phase.AWAITING_GATES,),
        attempt=agent.attempt,
        patch={"phase": Phase.GATING, "worker": worker, "workerProcess": process},
        lease_s=lease_s,
    )
    return move(agent, step, now=now)


def request_rework(
    agent: AgentState, patch: Mapping[str, Any], *, now: datetime, tag: str
) -> Operation[Moved]:
    """Give a rejected agent back to the spawn pool for another round."""
    spawn = StageMessage(SPAWN_TASK, SPAWN_QUEUE, agent.agent_id, agent.priority)
    step = Move(
        sources=(Status.RUNNING,),
        phases=(Phase.GATING,),
        attempt=agent.attempt,
        patch={
            **patch,
            "phase": Phase.AWAITING_REWORK,
            "rounds": agent.rounds + 1,
            "continuesAttempt": agent.change_attempt,
        },
        release=True,
        message=spawn,
    )
    return move(agent, step, now=now, tag=tag)


def recover(
    agent: AgentState,
    *,
    continues: int | None,
    counts: bool,
    delay_s: float,
    now: datetime,
    tag: str,
    only_expired: bool = False,
) -> Operation[Moved]:
    """Take an agent from an attempt that cannot go on, and let another go on with it.

    The new number fences the old attempt at once. The next one starts where this one was: before
    its first round, from the change of attempt `continues`, or with its gates.
    """
    is_first = agent.status is Status.SPAWNING
    is_judged = agent.phase in _JUDGED
    patch: dict[str, Any] = {"recoveries": agent.recoveries + counts}
    if is_first:
        patch["phase"] = Phase.QUEUED
    elif is_judged:
        patch["phase"] = Phase.AWAITING_GATES
    else:
        patch |= {"phase": Phase.AWAITING_REWORK, "continuesAttempt": continues}
    waiting = agent.model_copy(update={"attempt": agent.attempt + 1, "phase": patch["phase"]})
    step = Move(
        sources=(agent.status,),
        phases=(agent.phase,),
        attempt=agent.attempt,
        new_attempt=True,
        patch=patch,
        event="agent.recovering",
        release=True,
        message=None if delay_s else message_of(waiting),
        due_at=now + timedelta(seconds=delay_s) if delay_s else None,
        expired_at=now if only_expired else None,
    )
    return move(agent, step, now=now, tag=tag)


def delay(agent: AgentState, *, until: datetime, now: datetime, why: str = "") -> Operation[Moved]:
    """Let a waiting agent wait until an instant; its message is sent then. A reason is told."""
    step = Move(
        sources=(agent.status,),
        phases=(Phase.QUEUED, Phase.AWAITING_REWORK),
        attempt=agent.attempt,
        patch={"waitingFor": why or None},
        event="agent.waiting" if why else "",
        due_at=until,
    )
    return move(agent, step, now=now)


def message_of(agent: AgentState) -> StageMessage:
    """Return the message that an agent in a waiting phase waits for."""
    if agent.phase is Phase.AWAITING_GATES:
        return StageMessage(
            GATE_CHECK_TASK, GATES_QUEUE, agent.agent_id, agent.priority, agent.attempt
        )
    if agent.phase is Phase.ENDED:
        return StageMessage(
            CLEANUP_TASK, CLEANUP_QUEUE, agent.agent_id, agent.priority, agent.attempt
        )
    return StageMessage(SPAWN_TASK, SPAWN_QUEUE, agent.agent_id, agent.priority)


def end(
    agent: AgentState,
    to: Status,
    *,
    now: datetime,
    tag: str,
    patch: Mapping[str, Any] | None = None,
    error: OrchestratorError | None = None,
    only_expired: bool = False,
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
        expired_at=now if only_expired else None,
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
