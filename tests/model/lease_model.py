"""The lease protocol of one agent as a value and the actions that may follow: small, pure, hostile.

Any action may come at any time: a worker that is slow, stopped and resumed, or dead is one whose
next action comes late or never. Only what ends by a clock is told apart: whether heartbeats come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.models import Phase, Status
from orchestrator.models.state_machine import ACTIVE, FINAL, WAITING

#: How a lease passes; a worker that hears of no renewal ends its agent before the last step.
FRESH, EXPIRING, EXPIRED = 2, 1, 0
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
    # Not the protocol's, but how far it is looked at.
    faults: int = 2
    most_workers: int = 2
    max_retries: int = 1


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
    #: Pushes on their way: (commit, the commit it may replace).
    flying: frozenset[tuple[int, int]] = frozenset()
    branch: int = 0
    #: The first final status.
    ended: Status | None = None
    faults: int = 0
    #: The promise that the last action broke.
    broken: str = ""


Step = tuple[str, State]


def start(rules: Rules) -> State:
    """Return a registered agent and its message."""
    return State(faults=rules.faults)


def actions(state: State, rules: Rules) -> Iterator[Step]:
    """Yield each action that may come next, by name, with the state it leaves."""
    if state.status in ACTIVE:
        yield KILL, _end(state, Status.KILLED, rules)
    yield from _broker(state, rules)
    yield from _sweep(state, rules)
    yield from _remote(state, rules)
    for worker in dict.fromkeys(state.workers):
        others = list(state.workers)
        others.remove(worker)
        yield from _clock_of(state, worker, others, rules)
        yield from _work(state, worker, others, rules)
    is_renewed = any(worker.owns and worker.beats for worker in state.workers)
    if state.lease and not is_renewed:
        # The shim's own clock needs no worker.
        over = state.lease == EXPIRING and rules.deadline_ends_the_agent
        workers = [
            w._replace(lives=w.lives and not (w.owns and over and not w.blocked))
            for w in state.workers
        ]
        yield "time passes", _with(state, workers, lease=state.lease - 1)


def _broker(state: State, rules: Rules) -> Iterator[Step]:
    for message in dict.fromkeys(state.queue):
        rest = list(state.queue)
        rest.remove(message)
        left = state._replace(queue=tuple(rest))
        if state.faults:
            yield f"{FAULT}message lost", _fault(left)
            yield f"{FAULT}message twice", _fault(_sent(state, message))
        if len(state.workers) < rules.most_workers:
            yield from _claim(left, rules) if message == 0 else _take_over(left, message)
    if state.halted:
        woken = state.phase in {Phase.QUEUED, Phase.AWAITING_REWORK}
        resumed = state._replace(halted=False)
        yield "resume", _sent(resumed, 0) if woken else resumed
    elif state.faults:
        yield f"{FAULT}halt", _fault(state._replace(halted=True))


def _claim(state: State, rules: Rules) -> Iterator[Step]:
    waits = (state.status, state.phase) in {
        (Status.SPAWNING, Phase.QUEUED),
        (Status.RUNNING, Phase.AWAITING_REWORK),
    }
    if not waits and (rules.claim_looks_at_the_state or state.phase is not Phase.ENDED):
        yield "spawn dropped", state
        return
    if state.halted:
        yield "spawn dropped by the halt", state
        return
    broken = "a_killed_agent_is_never_claimed" if state.status is Status.KILLED else state.broken
    held = state._replace(
        phase=Phase.PREPARING,
        attempt=state.attempt + 1,
        lease=FRESH,
        delayed=False,
        broken=broken,
    )
    yield "claim", _with(held, [*state.workers, Worker("preparing", held.attempt)])
    if state.faults:
        yield f"{FAULT}claim, its reply lost", _fault(held)


def _take_over(state: State, attempt: int) -> Iterator[Step]:
    waits = (Status.RUNNING, Phase.AWAITING_GATES, attempt)
    if (state.status, state.phase, state.attempt) != waits:
        yield "gate check dropped", state
        return
    held = state._replace(phase=Phase.GATING, lease=FRESH)
    yield "take over", _with(held, [*state.workers, Worker("gating", attempt)])
    if state.faults:
        yield f"{FAULT}take over, its reply lost", _fault(held)


def _clock_of(state: State, worker: Worker, others: list[Worker], rules: Rules) -> Iterator[Step]:
    gone = _with(state, others)
    if state.faults:
        yield f"{FAULT}{worker.at} worker dies", _fault(gone)
        if worker.beats and worker.owns:
            stalled = worker._replace(beats=False)
            yield f"{FAULT}{worker.at} worker stalls", _fault(_with(state, [*others, stalled]))
            # With a thread for the deadline that is no other state than the one before.
            hung = stalled._replace(blocked=not rules.deadline_has_its_own_thread)
            yield f"{FAULT}{worker.at} worker's call hangs", _fault(_with(state, [*others, hung]))
        elif not worker.owns and _accepts(state, worker, rules):
            # On its way when the agent was let go of.
            yield f"{FAULT}late heartbeat", _fault(_heartbeat(gone, worker, rules))
    if not worker.beats and _accepts(state, worker, rules):
        renewed = _with(state, [*others, worker._replace(beats=True, blocked=False)])
        yield f"{worker.at} worker resumes", _heartbeat(renewed, worker, rules)
    if not worker.lives or not _accepts(state, worker, rules):
        yield f"{worker.at} worker gives up", gone


def _heartbeat(state: State, worker: Worker, rules: Rules) -> State:
    has_lease = state.lease is not None or not rules.heartbeat_adds_no_lease
    return state._replace(lease=FRESH) if has_lease and _accepts(state, worker, rules) else state


def _work(state: State, worker: Worker, others: list[Worker], rules: Rules) -> Iterator[Step]:
    """Yield what a worker does next, whether or not it should still: the state decides."""
    gone = _with(state, others)
    if worker.at in {"handed over", "sent back"}:
        yield "let go", gone
        if state.faults:
            yield from _after_letting_go(_fault(gone), worker, rules)
        return
    if worker.at == "delivering":
        yield from _deliver(state, worker, others, rules)
        return
    if worker.at == "gating" and not rules.push_compares_the_state:
        broken = state.broken if worker.owns else "a_stale_attempt_writes_nothing"
        sending = worker._replace(at="delivering", replaces=state.pushing)
        sent = state._replace(broken=broken, pushing=worker.token)
        yield "push", _push(_with(sent, [*others, sending]), worker.token, 0)
    if not _accepts(state, worker, rules):
        return
    written = _write(gone, worker)
    yield f"{worker.at} fails", _end(written, Status.FAILED, rules)
    counts = written.recoveries < rules.max_retries
    lost = _recover(written, rules) if counts else _end(written, Status.FAILED, rules)
    yield f"{worker.at} meets a fault of its host", lost
    if state.faults:
        stopped = _recover(_fault(written), rules, counts=False)
        yield f"{FAULT}worker of {worker.at} is stopped", stopped
    yield from _move_on(state, written, worker, others, rules)


def _move_on(
    state: State, written: State, worker: Worker, others: list[Worker], rules: Rules
) -> Iterator[Step]:
    if worker.at == "preparing":
        moved = _into(written, Status.RUNNING, rules)._replace(phase=Phase.EXECUTING, lease=FRESH)
        yield "start", _with(moved, [*others, worker._replace(at="executing")])
    elif worker.at == "executing":
        done = worker._replace(at="handed over", owns=False)
        yield "hand over", _with(_hand_over(written, rules), [*others, done])
    elif worker.at == "gating":
        if rules.push_compares_the_state:
            sending = worker._replace(at="delivering", replaces=state.pushing)
            marked = written._replace(phase=Phase.DELIVERING, pushing=worker.token)
            yield "push", _push(_with(marked, [*others, sending]), worker.token, 0)
        if state.rounds < rules.max_retries:
            back = _released(written, rules)._replace(
                phase=Phase.AWAITING_REWORK, rounds=state.rounds + 1
            )
            done = worker._replace(at="sent back", owns=False)
            yield "send back", _with(_sent(back, 0), [*others, done])


def _after_letting_go(state: State, worker: Worker, rules: Rules) -> Iterator[Step]:
    """Yield what may still go wrong in a worker whose agent waits for, or has, the next one."""
    failed = state
    if _accepts(state, worker, rules):
        failed = _end(_write(state, worker), Status.FAILED, rules)
    again = state if rules.refused_ends_nothing else failed
    if (
        worker.at == "handed over"
        and _accepts(state, worker, rules)
        and state.status is Status.RUNNING
        and not rules.hand_over_looks_at_the_phase
    ):
        again = _hand_over(_write(state, worker), rules)
    yield f"{FAULT}{worker.at} again, the reply was lost", again
    yield f"{FAULT}error after {worker.at}", state if rules.let_go_ends_nothing else failed


def _deliver(state: State, worker: Worker, others: list[Worker], rules: Rules) -> Iterator[Step]:
    commit, gone = worker.token, _with(state, others)
    is_flying = any(flying == commit for flying, _ in state.flying)
    if state.branch == commit:
        if _accepts(state, worker, rules):
            done = _end(_write(gone, worker), Status.COMPLETED, rules)
            yield "complete", done._replace(commit=commit)
    elif is_flying:
        return
    elif not state.branch:
        yield "push again", _push(state, commit, 0)
    elif worker.replaces and state.branch == worker.replaces:
        yield "push over the older attempt's", _push(state, commit, worker.replaces)
    elif _accepts(state, worker, rules):
        yield "push refused", _end(_write(gone, worker), Status.FAILED, rules)


def _remote(state: State, rules: Rules) -> Iterator[Step]:
    for flight in sorted(state.flying):
        commit, replaces = flight
        landed = state._replace(flying=state.flying - {flight})
        if state.faults:
            yield f"{FAULT}push lost", _fault(landed)
        if state.branch == replaces or not rules.remote_compares:
            landed = landed._replace(branch=commit)
        yield f"push of {commit} lands", landed


def _sweep(state: State, rules: Rules) -> Iterator[Step]:
    waits = state.status in ACTIVE and state.phase in WAITING and not state.halted
    if waits and state.delayed:
        yield "sweep sends what is due", _sent(state._replace(delayed=False), _message(state))
    elif waits and _message(state) not in state.queue and rules.sweep_sends_again:
        yield "sweep sends again", _sent(state, _message(state))
    if state.swept is None:
        if state.lease == EXPIRED:
            yield "sweep finds the lease", state._replace(swept=())
        return
    done = state._replace(swept=None)
    if state.faults:
        yield f"{FAULT}sweep dies", _fault(done)
    if state.status in FINAL:
        yield "sweep finds it ended", done
    elif not state.swept:
        read = (state.attempt, state.recoveries)
        yield "sweep reads", state._replace(swept=read)
    else:
        attempt, recoveries = state.swept
        fails = recoveries >= rules.max_retries
        compares = rules.failing_compares_the_lease if fails else rules.recovery_compares_the_lease
        if attempt != state.attempt or (compares and state.lease != EXPIRED):
            yield "sweep is refused", done
            return
        if state.lease != EXPIRED:
            done = done._replace(broken="an_attempt_in_time_is_left_alone")
        moved = _end(done, Status.FAILED, rules) if fails else _recover(done, rules)
        yield "sweep fails the agent" if fails else "sweep recovers the agent", moved


def _accepts(state: State, worker: Worker, rules: Rules) -> bool:
    is_active = state.status in ACTIVE or not rules.writes_look_at_the_status
    return is_active and worker.token == state.attempt


def _write(state: State, worker: Worker) -> State:
    return state if worker.owns else state._replace(broken="a_stale_attempt_writes_nothing")


def _fault(state: State) -> State:
    return state._replace(faults=state.faults - 1)


def _with(state: State, workers: list[Worker], lease: int | None = -1) -> State:
    # In order: which of two workers is which changes nothing.
    changed = state._replace(workers=tuple(sorted(workers)))
    return changed if lease == -1 else changed._replace(lease=lease)


def _sent(state: State, message: int) -> State:
    if len(state.queue) == MOST_MESSAGES:
        return state
    return state._replace(queue=tuple(sorted((*state.queue, message))))


def _message(state: State) -> int:
    return state.attempt if state.phase is Phase.AWAITING_GATES else 0


def _push(state: State, commit: int, replaces: int) -> State:
    return state._replace(flying=state.flying | {(commit, replaces)})


def _taken(state: State) -> State:
    return _with(state, [worker._replace(owns=False) for worker in state.workers])


def _released(state: State, rules: Rules) -> State:
    return state._replace(lease=None if rules.release_frees_the_lease else state.lease)


def _hand_over(state: State, rules: Rules) -> State:
    waits = _released(state, rules)._replace(phase=Phase.AWAITING_GATES)
    return _sent(waits, state.attempt)


def _into(state: State, status: Status, rules: Rules) -> State:
    left = {state.status} if rules.end_leaves_the_index or status not in FINAL else set()
    return state._replace(status=status, indexes=(state.indexes - left) | {status})


def _end(state: State, status: Status, rules: Rules) -> State:
    return _taken(_into(state, status, rules))._replace(
        phase=Phase.ENDED, lease=None, delayed=False, ended=state.ended or status
    )


def _recover(state: State, rules: Rules, *, counts: bool = True) -> State:
    if state.status is Status.SPAWNING:
        phase = Phase.QUEUED
    elif state.phase in {Phase.AWAITING_GATES, Phase.GATING, Phase.DELIVERING}:
        phase = Phase.AWAITING_GATES
    else:
        phase = Phase.AWAITING_REWORK
    waits = _released(_taken(state), rules)._replace(
        phase=phase,
        attempt=state.attempt + rules.recovery_takes_a_new_token,
        recoveries=state.recoveries + counts,
        delayed=counts,
    )
    return waits if counts else _sent(waits, _message(waits))


def _at_work(state: State) -> list[Worker]:
    return [w for w in state.workers if w.at not in {"handed over", "sent back"}]


def _has_its_lease(state: State) -> bool:
    is_held = state.status in ACTIVE and state.phase in HELD
    return is_held == (state.lease is not None)


def _unbroken(name: str) -> Callable[[State], bool]:
    return lambda state: state.broken != name


ALWAYS: Mapping[str, Callable[[State], bool]] = {
    "at_most_one_live_attempt": lambda state: sum(w.lives for w in _at_work(state)) <= 1,
    "at_most_one_live_attempt_may_write": lambda state: (
        sum(_accepts(state, worker, Rules()) for worker in _at_work(state)) <= 1
    ),
    "a_stale_attempt_writes_nothing": _unbroken("a_stale_attempt_writes_nothing"),
    "an_attempt_in_time_is_left_alone": _unbroken("an_attempt_in_time_is_left_alone"),
    "a_final_state_never_changes": lambda state: state.ended in {None, state.status},
    "a_killed_agent_is_never_claimed": _unbroken("a_killed_agent_is_never_claimed"),
    "at_most_one_push": lambda state: (
        state.status is not Status.COMPLETED or state.branch == state.commit
    ),
    "a_held_agent_has_a_lease_or_is_recovered": _has_its_lease,
    "counts_add_up": lambda state: state.indexes == {state.status},
}

EVENTUALLY: Mapping[str, Callable[[State], bool]] = {
    "every_active_agent_has_a_message_a_lease_or_a_date": lambda state: (
        state.status in FINAL
        or state.lease is not None
        or state.delayed
        or _message(state) in state.queue
    ),
    "every_agent_ends": lambda state: state.status in FINAL,
}
