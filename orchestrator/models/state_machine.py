"""The state machine of the contract, as data: what may follow what. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.models import Status, TaskStatus

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.SPAWNING: frozenset({Status.RUNNING, Status.FAILED, Status.KILLED}),
    Status.RUNNING: frozenset({Status.COMPLETED, Status.FAILED, Status.KILLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.KILLED: frozenset(),
}

FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
ACTIVE = frozenset(TRANSITIONS) - FINAL

#: What a task is while its latest agent is in a status.
TASK_STATUS: Mapping[Status, TaskStatus] = {
    Status.SPAWNING: TaskStatus.ASSIGNED,
    Status.RUNNING: TaskStatus.EXECUTING,
    Status.COMPLETED: TaskStatus.COMPLETED,
    Status.FAILED: TaskStatus.FAILED,
    Status.KILLED: TaskStatus.FAILED,
}


def sources(to: Status) -> tuple[Status, ...]:
    """Return the statuses from which `to` may be entered."""
    return tuple(status for status in Status if to in TRANSITIONS[status])
