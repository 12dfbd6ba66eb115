"""The state machine of the contract, as data: what may follow what, and what each phase means."""

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

#: What a task is while its latest agent is in a status.
TASK_STATUS: Mapping[Status, TaskStatus] = {
    Status.SPAWNING: TaskStatus.ASSIGNED,
    Status.RUNNING: TaskStatus.EXECUTING,
    Status.COMPLETED: TaskStatus.COMPLETED,
    Status.FAILED: TaskStatus.FAILED,
    Status.KILLED: TaskStatus.FAILED,
}


@dataclass(frozen=True)
class PhaseTraits:
    """What a phase means; whatever treats some phases alike asks for one of these traits."""

    #: What people read.
    label: str
    #: The statuses an agent of this phase may have.
    statuses: frozenset[Status]
    #: The phases from which it is entered in one attempt; another attempt begins anew.
    follows: tuple[Phase, ...] = ()
    #: The task whose message the agent waits for; empty where it waits for none.
    awaits_task: str = ""
    #: Whether the agent occupies one of the fleet's slots.
    has_slot: bool = False
    #: Whether its change is made: it is the gates pool's, and a later attempt goes on there.
    is_gated: bool = False

    @property
    def queue(self) -> str:
        """The queue its message stands in; empty where it waits for none."""
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
        """Whether the agent waits for its next stage, and nobody holds it."""
        return self.is_active and bool(self.awaits_task)


_RUNNING = frozenset({Status.RUNNING})

#: Every phase there is, in the order of an agent's life.
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

#: What people read of a status; of one that is active its phase says more.
STATUS_LABELS: Mapping[Status, str] = {status: status.capitalize() for status in Status}

#: Nobody holds the agent, and it waits for its next stage.
WAITING = frozenset(phase for phase, traits in PHASES.items() if traits.is_waiting)
#: The agent occupies a slot.
WITH_SLOT = frozenset(phase for phase, traits in PHASES.items() if traits.has_slot)
#: The agent waits for a message: of its next stage, or of its cleanup.
AWAITING_MESSAGE = frozenset(phase for phase, traits in PHASES.items() if traits.awaits_task)
#: The agent waits for a slot and a worker of the spawn pool: a halt and a provider's limit hold it.
AWAITING_SPAWN = frozenset(
    phase for phase, traits in PHASES.items() if traits.awaits_task == SPAWN_TASK
)


def sources(to: Status) -> tuple[Status, ...]:
    """Return the statuses from which `to` may be entered."""
    return tuple(status for status in Status if to in TRANSITIONS[status])


def entered_from(phase: Phase, status: Status) -> tuple[Phase, ...]:
    """Return the phases from which an agent of this status enters a phase."""
    return tuple(before for before in PHASES[phase].follows if status in PHASES[before].statuses)


def restart_phase(status: Status, phase: Phase) -> Phase:
    """Return the phase in which another attempt goes on with an agent that is in this one."""
    if status is Status.SPAWNING:
        return Phase.QUEUED
    return Phase.AWAITING_GATES if PHASES[phase].is_gated else Phase.AWAITING_REWORK
