"""The lease protocol of one agent as a value and the actions that may follow: small, pure, hostile.

Any action may come at any time: a worker that is slow, stopped and resumed, or dead is one whose
next action comes late or never. Only what ends by a clock is told apart: whether heartbeats come,
and how the clocks of Valkey and of the worker's host go (`lease_outages.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.models import Phase, Status
from orchestrator.models.state_machine import ACTIVE, FINAL, WAITING
from tests.model.lease_outages import (
    clock_jumps,
    failover,
    new_holder,
    passing_time,
    shortened,
)
from tests.model.lease_state import (
    EXPIRED,
    FAULT,
    FRESH,
    HELD,
    KILL,
    TOGETHER,
    Rules,
    State,
    Worker,
    accepts,
    ended_as,
    enqueued_for_gates,
    message_of,
    moved_to,
    recovered,
    with_fault_spent,
    with_message,
    with_no_lease,
    with_push,
    with_workers,
    written_by,
)

Step = tuple[str, State]
_PHASES = {
    "preparing": Phase.PREPARING,
    "executing": Phase.EXECUTING,
    "gating": Phase.GATING,
}


def start(rules: Rules) -> State:
    """Return a registered agent and its message."""
    return State(faults=rules.faults, jumps=rules.jumps, failovers=rules.failovers)


def actions(state: State, rules: Rules) -> Iterator[Step]:
    """Yield each action that may come next, by name, with the state it leaves."""
    for name, after in _actions(state, rules):
        if after.swept is None:
            yield name, after if after.is_found else after._replace(is_found=True)
        elif state.swept is not None and state.lease == EXPIRED != after.lease:
            yield name, after._replace(is_found=False)
        else:
            yield name, after


def _actions(state: State, rules: Rules) -> Iterator[Step]:
    if state.status in ACTIVE:
        yield KILL, ended_as(state, Status.KILLED, rules)
    yield from _broker(state, rules)
    yield from _sweep(state, rules)
    yield from _host(state, rules)
    yield from _remote(state, rules)
    for worker in dict.fromkeys(state.workers):
        others = list(state.workers)
        others.remove(worker)
        yield from _clock_of(state, worker, others, rules)
        yield from _work(state, worker, others, rules)
    yield from passing_time(state, rules)
    yield from clock_jumps(state, rules)
    yield from failover(state, rules)


def _host(state: State, rules: Rules) -> Iterator[Step]:
    """Yield the recovery by the host that sees the end of the process that held the agent."""
    if not rules.hosts or state.status not in ACTIVE or state.phase not in HELD:
        return
    holders = [w for w in state.workers if (w.token, w.holder) == (state.attempt, state.holder)]
    if holders and rules.early_recovery_needs_a_death:
        return
    fails = state.recoveries >= rules.max_retries
    moved = ended_as(state, Status.FAILED, rules) if fails else recovered(state, rules)
    yield "host recovers what a dead process held", moved


def _broker(state: State, rules: Rules) -> Iterator[Step]:
    for message in dict.fromkeys(state.queue):
        rest = list(state.queue)
        rest.remove(message)
        left = state._replace(queue=tuple(rest))
        if state.faults:
            yield f"{FAULT}message lost", with_fault_spent(left)
            yield f"{FAULT}message twice", with_fault_spent(with_message(state, message))
        if len(state.workers) < rules.most_workers:
            yield from _claim(left, rules) if message == 0 else _take_over(left, message, rules)
    if state.halted:
        woken = state.phase in {Phase.QUEUED, Phase.AWAITING_REWORK}
        resumed = state._replace(halted=False)
        yield "resume", with_message(resumed, 0) if woken else resumed
    elif state.faults:
        yield f"{FAULT}halt", with_fault_spent(state._replace(halted=True))


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
        holder=new_holder(state, rules),
    )
    worker = Worker("preparing", held.attempt, holder=held.holder)
    yield "claim", with_workers(held, [*state.workers, worker])
    if state.faults:
        yield f"{FAULT}claim, its reply lost", with_fault_spent(held)


def _take_over(state: State, attempt: int, rules: Rules) -> Iterator[Step]:
    waits = (Status.RUNNING, Phase.AWAITING_GATES, attempt)
    if (state.status, state.phase, state.attempt) != waits:
        yield "gate check dropped", state
        return
    held = state._replace(phase=Phase.GATING, lease=FRESH, holder=new_holder(state, rules))
    worker = Worker("gating", attempt, holder=held.holder)
    yield "take over", with_workers(held, [*state.workers, worker])
    if state.faults:
        yield f"{FAULT}take over, its reply lost", with_fault_spent(held)


def _clock_of(state: State, worker: Worker, others: list[Worker], rules: Rules) -> Iterator[Step]:
    gone = with_workers(state, others)
    if state.faults:
        yield f"{FAULT}{worker.at} worker dies", with_fault_spent(gone)
        if worker.beats and worker.owns:
            stalled = worker._replace(beats=False)
            yield (
                f"{FAULT}{worker.at} worker stalls",
                with_fault_spent(with_workers(state, [*others, stalled])),
            )
            # With a thread for the deadline that is no other state than the one before.
            hung = stalled._replace(blocked=not rules.deadline_has_its_own_thread)
            yield (
                f"{FAULT}{worker.at} worker's call hangs",
                with_fault_spent(with_workers(state, [*others, hung])),
            )
        elif not worker.owns and accepts(state, worker, rules):
            # On its way when the agent was let go of.
            yield f"{FAULT}late heartbeat", with_fault_spent(_heartbeat(gone, worker, rules))
    if not worker.beats and accepts(state, worker, rules):
        back = worker._replace(beats=True, blocked=False, left=TOGETHER)
        renewed = with_workers(state, [*others, back])
        yield f"{worker.at} worker resumes", _heartbeat(renewed, worker, rules)
    if not worker.lives or not accepts(state, worker, rules):
        yield f"{worker.at} worker gives up", gone


def _heartbeat(state: State, worker: Worker, rules: Rules) -> State:
    has_lease = state.lease is not None or not rules.heartbeat_adds_no_lease
    return state._replace(lease=FRESH) if has_lease and accepts(state, worker, rules) else state


def _work(state: State, worker: Worker, others: list[Worker], rules: Rules) -> Iterator[Step]:
    """Yield what a worker does next, whether or not it should still: the state decides."""
    gone = with_workers(state, others)
    if worker.at in {"handed over", "sent back"}:
        yield "let go", gone
        if state.faults:
            yield from _after_letting_go(with_fault_spent(gone), worker, rules)
        return
    if worker.at == "delivering":
        yield from _deliver(state, worker, others, rules)
        return
    if worker.at == "gating" and not rules.push_compares_the_state:
        broken = state.broken if worker.owns else "a_stale_attempt_writes_nothing"
        sending = worker._replace(at="delivering", replaces=state.pushing)
        sent = state._replace(broken=broken, pushing=worker.token)
        yield "push", with_push(with_workers(sent, [*others, sending]), worker.token, 0)
    if not accepts(state, worker, rules):
        return
    written = written_by(gone, worker)
    yield f"{worker.at} fails", ended_as(written, Status.FAILED, rules)
    counts = written.recoveries < rules.max_retries
    lost = recovered(written, rules) if counts else ended_as(written, Status.FAILED, rules)
    yield f"{worker.at} meets a fault of its host", lost
    if state.faults:
        stopped = recovered(with_fault_spent(written), rules, counts=False)
        yield f"{FAULT}worker of {worker.at} is stopped", stopped
    yield from _move_on(state, written, worker, others, rules)


def _move_on(
    state: State, written: State, worker: Worker, others: list[Worker], rules: Rules
) -> Iterator[Step]:
    if rules.failovers and state.phase is not _PHASES[worker.at]:
        # Its last move is lost.
        yield f"{worker.at} worker is refused", with_workers(state, others)
        return
    if worker.at == "preparing":
        moved = moved_to(written, Status.RUNNING, rules)._replace(
            phase=Phase.EXECUTING, lease=FRESH
        )
        yield "start", with_workers(moved, [*others, worker._replace(at="executing")])
    elif worker.at == "executing":
        done = worker._replace(at="handed over", owns=False)
        yield "hand over", with_workers(enqueued_for_gates(written, rules), [*others, done])
    elif worker.at == "gating":
        if rules.push_compares_the_state:
            sending = worker._replace(at="delivering", replaces=state.pushing)
            marked = written._replace(phase=Phase.DELIVERING, pushing=worker.token)
            yield "push", with_push(with_workers(marked, [*others, sending]), worker.token, 0)
        if state.rounds < rules.max_retries:
            back = with_no_lease(written, rules)._replace(
                phase=Phase.AWAITING_REWORK, rounds=state.rounds + 1
            )
            done = worker._replace(at="sent back", owns=False)
            yield "send back", with_workers(with_message(back, 0), [*others, done])


def _after_letting_go(state: State, worker: Worker, rules: Rules) -> Iterator[Step]:
    """Yield what may still go wrong in a worker whose agent waits for, or has, the next one."""
    failed = state
    if accepts(state, worker, rules):
        failed = ended_as(written_by(state, worker), Status.FAILED, rules)
    again = state if rules.refused_ends_nothing else failed
    if (
        worker.at == "handed over"
        and accepts(state, worker, rules)
        and state.status is Status.RUNNING
        and not rules.hand_over_looks_at_the_phase
    ):
        again = enqueued_for_gates(written_by(state, worker), rules)
    yield f"{FAULT}{worker.at} again, the reply was lost", again
    yield f"{FAULT}error after {worker.at}", state if rules.let_go_ends_nothing else failed


def _deliver(state: State, worker: Worker, others: list[Worker], rules: Rules) -> Iterator[Step]:
    commit, gone = worker.token, with_workers(state, others)
    is_flying = any(flying == commit for flying, _ in state.flying)
    if state.branch == commit:
        if accepts(state, worker, rules):
            done = ended_as(written_by(gone, worker), Status.COMPLETED, rules)
            yield "complete", done._replace(commit=commit)
    elif is_flying:
        return
    elif not state.branch:
        yield "push again", with_push(state, commit, 0)
    elif worker.replaces and state.branch == worker.replaces:
        yield "push over the older attempt's", with_push(state, commit, worker.replaces)
    elif accepts(state, worker, rules):
        yield "push refused", ended_as(written_by(gone, worker), Status.FAILED, rules)


def _remote(state: State, rules: Rules) -> Iterator[Step]:
    for flight in sorted(state.flying):
        commit, replaces = flight
        landed = state._replace(flying=state.flying - {flight})
        if state.faults:
            yield f"{FAULT}push lost", with_fault_spent(landed)
        if state.branch == replaces or not rules.remote_compares:
            landed = landed._replace(branch=commit)
        yield f"push of {commit} lands", landed


def _sweep(state: State, rules: Rules) -> Iterator[Step]:
    waits = state.status in ACTIVE and state.phase in WAITING and not state.halted
    if waits and state.delayed:
        yield (
            "sweep sends what is due",
            with_message(state._replace(delayed=False), message_of(state)),
        )
    elif waits and message_of(state) not in state.queue and rules.sweep_sends_again:
        yield "sweep sends again", with_message(state, message_of(state))
    yield from shortened(state, rules)
    if state.swept is None:
        is_judged = not state.unsteady or not rules.sweep_waits_after_a_jump
        if state.lease == EXPIRED and is_judged:
            yield "sweep finds the lease", state._replace(swept=())
        return
    done = state._replace(swept=None)
    if state.faults:
        yield f"{FAULT}sweep dies", with_fault_spent(done)
    if state.status in FINAL:
        yield "sweep finds it ended", done
    elif not state.swept:
        read = (state.attempt, state.recoveries)
        yield "sweep reads", state._replace(swept=read)
    else:
        attempt, recoveries = state.swept
        fails = recoveries >= rules.max_retries
        compares = rules.failing_compares_the_lease if fails else rules.recovery_compares_the_lease
        is_other = rules.recovery_compares_the_found_lease and not state.is_found
        if attempt != state.attempt or (compares and (state.lease != EXPIRED or is_other)):
            yield "sweep is refused", done
            return
        if state.lease != EXPIRED:
            done = done._replace(broken="an_attempt_in_time_is_left_alone")
        moved = ended_as(done, Status.FAILED, rules) if fails else recovered(done, rules)
        yield "sweep fails the agent" if fails else "sweep recovers the agent", moved
