"""The state machine of the contract as data: legal transitions, and the traits of each phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.messages import CLEANUP_TASK, GATE_CHECK_TASK, QUEUE_OF_TASK, SPAWN_TASK
from orchestrator.models.state import Phase, Status, TaskStatus

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.SPAWNING: frozenset({Status.RUNNING, Status.FAILED, Status.KILLED}),
    Status.RUNNING: frozenset({Status.COMPLETED, Status.FAILED, Status.KILLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.KILLED: frozenset(),
}

FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
ACTIVE = frozenset(TRANSITIONS) - FINAL

#: The status of a task while its latest agent has a status.
TASK_STATUS: Mapping[Status, TaskStatus] = {
    Status.SPAWNING: TaskStatus.ASSIGNED,
    Status.RUNNING: TaskStatus.EXECUTING,
    Status.COMPLETED: TaskStatus.COMPLETED,
    Status.FAILED: TaskStatus.FAILED,
    Status.KILLED: TaskStatus.FAILED,
}


@dataclass(frozen=True)
class PhaseTraits:
    """The traits of a phase; code that treats several phases alike reads one of these traits."""

    #: The text that people read.
    label: str
    #: The statuses that an agent of this phase may have.
    statuses: frozenset[Status]
    #: The phases from which an attempt enters this one; another attempt starts at the beginning.
    follows: tuple[Phase, ...] = ()
    #: The Celery task whose message the agent waits for; empty if it waits for none.
    awaits_task: str = ""
    #: Whether the agent occupies a slot.
    has_slot: bool = False
    #: Whether the change is captured: the gates pool serves it, and a later attempt resumes there.
    is_gated: bool = False

    @property
    def queue(self) -> str:
        """The queue that contains its message; empty if it waits for none."""
        return QUEUE_OF_TASK.get(self.awaits_task, "")

    @property
    def is_active(self) -> bool:
        """Whether the agent has not ended."""
        return self.statuses <= ACTIVE

    @property
    def is_held(self) -> bool:
        """Whether a worker holds the agent by a lease."""
        return self.is_active and not self.awaits_task

    @property
    def is_waiting(self) -> bool:
        """Whether the agent waits for its next stage, without a holder."""
        return self.is_active and bool(self.awaits_task)


_RUNNING = frozenset({Status.RUNNING})

#: All phases, in the order of an agent's life.
PHASES: Mapping[Phase, PhaseTraits] = {
    Phase.QUEUED: PhaseTraits("Queued", frozenset({Status.SPAWNING}), awaits_task=SPAWN_TASK),
    Phase.PREPARING: PhaseTraits(
        "Preparing",
        ACTIVE,
        follows=(Phase.QUEUED, Phase.AWAITING_REWORK),
        has_slot=True,
    ),
    Phase.EXECUTING: PhaseTraits("Working", _RUNNING, follows=(Phase.PREPARING,), has_slot=True),
    Phase.CAPTURING: PhaseTraits("Saving", _RUNNING, follows=(Phase.EXECUTING,), has_slot=True),
    Phase.AWAITING_GATES: PhaseTraits(
        "Awaits gates",
        _RUNNING,
        follows=(Phase.EXECUTING, Phase.CAPTURING),
        awaits_task=GATE_CHECK_TASK,
        is_gated=True,
    ),
    Phase.GATING: PhaseTraits("In gates", _RUNNING, follows=(Phase.AWAITING_GATES,), is_gated=True),
    Phase.AWAITING_REWORK: PhaseTraits(
        "Awaits rework", _RUNNING, follows=(Phase.GATING,), awaits_task=SPAWN_TASK
    ),
    Phase.DELIVERING: PhaseTraits("Pushing", _RUNNING, follows=(Phase.GATING,), is_gated=True),
    Phase.ENDED: PhaseTraits("Ended", FINAL, awaits_task=CLEANUP_TASK),
    Phase.CLEANED: PhaseTraits("Cleaned up", FINAL, follows=(Phase.ENDED,)),
}

#: The text that people read of a status; for an active status the phase is more precise.
STATUS_LABELS: Mapping[Status, str] = {status: status.capitalize() for status in Status}

#: The agent has no holder and waits for its next stage.
WAITING = frozenset(phase for phase, traits in PHASES.items() if traits.is_waiting)
#: The agent occupies a slot.
WITH_SLOT = frozenset(phase for phase, traits in PHASES.items() if traits.has_slot)
#: The agent waits for a message of its next stage or of its cleanup.
AWAITING_MESSAGE = frozenset(phase for phase, traits in PHASES.items() if traits.awaits_task)
#: The agent waits for a slot and a spawn worker: a halt and a provider's limit delay it.
AWAITING_SPAWN = frozenset(
    phase for phase, traits in PHASES.items() if traits.awaits_task == SPAWN_TASK
)


def sources(to: Status) -> tuple[Status, ...]:
    """Return the statuses from which an agent may enter `to`."""
    return tuple(status for status in Status if to in TRANSITIONS[status])


def entered_from(phase: Phase, status: Status) -> tuple[Phase, ...]:
    """Return the phases from which an agent of this status may enter a phase."""
    return tuple(before for before in PHASES[phase].follows if status in PHASES[before].statuses)


def restart_phase(status: Status, phase: Phase) -> Phase:
    """Return the phase in which another attempt resumes an agent of this phase."""
    if status is Status.SPAWNING:
        return Phase.QUEUED
    return Phase.AWAITING_GATES if PHASES[phase].is_gated else Phase.AWAITING_REWORK
