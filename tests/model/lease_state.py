"""The state of one agent under the lease protocol, and the moves that change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.models import Phase, Status
from orchestrator.models.state_machine import ACTIVE, FINAL

#: How a lease passes; a worker that hears of no renewal ends its agent before the last step.
FRESH, EXPIRING, EXPIRED = 2, 1, 0
#: It ends after any that a worker asks for: the clock it goes by was set back.
BEYOND = 3
#: A worker's clock goes as Valkey's does.
TOGETHER = -1
HELD = frozenset({Phase.PREPARING, Phase.EXECUTING, Phase.GATING, Phase.DELIVERING})
MOST_MESSAGES = 3
#: Begins the name of what goes wrong; there is a bounded number of these.
FAULT = "! "
KILL = "kill"


@dataclass(frozen=True)
class Rules:
    """What the protocol rests on; each set to False is a mistake that the explorer must find."""

    recovery_takes_a_new_token: bool = True
    heartbeat_adds_no_lease: bool = True
    claim_looks_at_the_state: bool = True
    hand_over_looks_at_the_phase: bool = True
    refused_ends_nothing: bool = True
    let_go_ends_nothing: bool = True
    deadline_ends_the_agent: bool = True
    deadline_has_its_own_thread: bool = True
    recovery_compares_the_lease: bool = True
    failing_compares_the_lease: bool = True
    push_compares_the_state: bool = True
    remote_compares: bool = True
    end_leaves_the_index: bool = True
    writes_look_at_the_status: bool = True
    release_frees_the_lease: bool = True
    sweep_sends_again: bool = True
    deadline_is_monotonic: bool = True
    sweep_waits_after_a_jump: bool = True
    recovery_compares_the_found_lease: bool = True
    sweep_shortens_leases: bool = True
    writes_compare_the_holder: bool = True
    early_recovery_needs_a_death: bool = True
    # Not the protocol's, but how far it is looked at.
    faults: int = 2
    most_workers: int = 2
    max_retries: int = 1
    #: Jumps of a clock, and promotions of a replica that missed what came last.
    jumps: int = 0
    failovers: int = 0
    #: Whether hosts look for dead processes; a host that is gone looks for none.
    hosts: int = 1


class Worker(NamedTuple):
    """One worker's hands on the agent, as far as it knows."""

    at: str
    token: int
    #: It was given the agent, and nobody has taken it since: known to the observer only.
    owns: bool = True
    beats: bool = True
    #: Its agent's processes run.
    lives: bool = True
    replaces: int = 0
    #: Its threads wait in a call, and the one among them that keeps its deadline.
    blocked: bool = False
    #: What is left of its lease by its own clock.
    left: int = TOGETHER
    #: Who it is, where two can hold one number.
    holder: int = 0


class State(NamedTuple):
    """All there is to know; a commit is named by the attempt that made it."""

    status: Status = Status.SPAWNING
    phase: Phase = Phase.QUEUED
    attempt: int = 0
    recoveries: int = 0
    rounds: int = 0
    pushing: int = 0
    commit: int = 0
    lease: int | None = None
    indexes: frozenset[Status] = frozenset({Status.SPAWNING})
    #: 0 is a spawn, another number the gate check of that attempt.
    queue: tuple[int, ...] = (0,)
    delayed: bool = False
    halted: bool = False
    workers: tuple[Worker, ...] = ()
    #: What a sweep has read: nothing, () for a lease that had ended, (attempt, recoveries).
    swept: tuple[int, ...] | None = None
    #: The lease that the sweep found expired is the one that stands.
    is_found: bool = True
    #: Pushes on their way: (commit, the commit it may replace).
    flying: frozenset[tuple[int, int]] = frozenset()
    branch: int = 0
    #: The first final status.
    ended: Status | None = None
    faults: int = 0
    jumps: int = 0
    failovers: int = 0
    #: How long the sweep still judges no lease: Valkey's clock has jumped.
    unsteady: int = 0
    holder: int = 0
    #: What a replica knows that hears nothing more.
    replica: State | None = None
    #: The promise that the last action broke.
    broken: str = ""


def accepts(state: State, worker: Worker, rules: Rules) -> bool:
    is_active = state.status in ACTIVE or not rules.writes_look_at_the_status
    is_holder = worker.holder == state.holder or not rules.writes_compare_the_holder
    return is_active and is_holder and worker.token == state.attempt


def written_by(state: State, worker: Worker) -> State:
    return state if worker.owns else state._replace(broken="a_stale_attempt_writes_nothing")


def with_fault_spent(state: State) -> State:
    return state._replace(faults=state.faults - 1)


def with_workers(state: State, workers: list[Worker], lease: int | None = -1) -> State:
    # In order: which of two workers is which changes nothing.
    changed = state._replace(workers=tuple(sorted(workers)))
    return changed if lease == -1 else changed._replace(lease=lease)


def with_message(state: State, message: int) -> State:
    if len(state.queue) == MOST_MESSAGES:
        return state
    return state._replace(queue=tuple(sorted((*state.queue, message))))


def message_of(state: State) -> int:
    return state.attempt if state.phase is Phase.AWAITING_GATES else 0


def with_push(state: State, commit: int, replaces: int) -> State:
    return state._replace(flying=state.flying | {(commit, replaces)})


def with_no_owner(state: State) -> State:
    workers = [worker._replace(owns=False, left=TOGETHER) for worker in state.workers]
    return with_workers(state, workers)


def with_no_lease(state: State, rules: Rules) -> State:
    return state._replace(lease=None if rules.release_frees_the_lease else state.lease)


def enqueued_for_gates(state: State, rules: Rules) -> State:
    waits = with_no_lease(state, rules)._replace(phase=Phase.AWAITING_GATES)
    return with_message(waits, state.attempt)


def moved_to(state: State, status: Status, rules: Rules) -> State:
    left = {state.status} if rules.end_leaves_the_index or status not in FINAL else set()
    return state._replace(status=status, indexes=(state.indexes - left) | {status})


def ended_as(state: State, status: Status, rules: Rules) -> State:
    return with_no_owner(moved_to(state, status, rules))._replace(
        phase=Phase.ENDED, lease=None, delayed=False, ended=state.ended or status
    )


def recovered(state: State, rules: Rules, *, counts: bool = True) -> State:
    if state.status is Status.SPAWNING:
        phase = Phase.QUEUED
    elif state.phase in {Phase.AWAITING_GATES, Phase.GATING, Phase.DELIVERING}:
        phase = Phase.AWAITING_GATES
    else:
        phase = Phase.AWAITING_REWORK
    waits = with_no_lease(with_no_owner(state), rules)._replace(
        phase=phase,
        attempt=state.attempt + rules.recovery_takes_a_new_token,
        recoveries=state.recoveries + counts,
        delayed=counts,
    )
    return waits if counts else with_message(waits, message_of(waits))


def working_in(state: State) -> list[Worker]:
    return [w for w in state.workers if w.at not in {"handed over", "sent back"}]
