"""What befalls clocks and data in the model: time by two clocks, jumps, a failover that loses."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.models.state_machine import ACTIVE
from tests.model.lease_state import (
    BEYOND,
    EXPIRED,
    EXPIRING,
    FAULT,
    FRESH,
    TOGETHER,
    Rules,
    State,
    Worker,
    accepts,
    with_workers,
    working_in,
)

Step = tuple[str, State]


def passing_time(state: State, rules: Rules) -> Iterator[Step]:
    """Yield the passing of time by both clocks, where it changes anything.

    A worker whose heartbeats come is renewed meanwhile; the others' leases pass by Valkey's clock,
    and their deadlines by their own.
    """
    if rules.failovers:
        # A refused heartbeat ends a worker before a lease passes, unless it stalls.
        refused = [w for w in state.workers if w.beats and not accepts(state, w, Rules())]
        workers = [worker for worker in state.workers if worker not in refused]
        state = with_workers(state, workers, lease=state.lease)
    is_renewed = any(worker.owns and worker.beats for worker in state.workers)
    unsteady = max(state.unsteady - 1, 0)
    if is_renewed:
        if state.unsteady or state.lease != FRESH:
            workers = [w._replace(left=TOGETHER) if w.owns else w for w in state.workers]
            renewed = with_workers(state, workers, lease=FRESH)
            yield "time passes", renewed._replace(unsteady=unsteady)
        return
    runs_out = bool(state.lease) and state.lease != BEYOND
    if not (runs_out or state.unsteady or any(_left(state, w) for w in state.workers if w.owns)):
        return
    workers = [_older(state, worker, rules) for worker in state.workers]
    lease = state.lease - 1 if runs_out and state.lease is not None else state.lease
    yield "time passes", with_workers(state, workers, lease=lease)._replace(unsteady=unsteady)


def _left(state: State, worker: Worker) -> int:
    """Return what is left of the lease by the worker's own clock, as far as it moves."""
    left = state.lease if worker.left == TOGETHER else worker.left
    return left if left and left != BEYOND else 0


def _older(state: State, worker: Worker, rules: Rules) -> Worker:
    left = _left(state, worker)
    # The shim's own clock needs no worker.
    is_over = worker.owns and left == EXPIRING and rules.deadline_ends_the_agent
    lives = worker.lives and not (is_over and not worker.blocked)
    moved = worker.left in {FRESH, EXPIRING}
    return worker._replace(lives=lives, left=worker.left - 1 if moved else worker.left)


def clock_jumps(state: State, rules: Rules) -> Iterator[Step]:
    """Yield the jumps of Valkey's clock, and of the hosts' where a deadline would heed them."""
    if not state.jumps:
        return
    spent = state._replace(jumps=state.jumps - 1)
    if state.lease is not None:
        # Deadlines of workers go by their own clocks.
        workers = [
            w._replace(left=state.lease) if w.owns and w.left == TOGETHER else w
            for w in state.workers
        ]
        for name, lease in (("set on", EXPIRED), ("set back", BEYOND)):
            jumped = with_workers(spent, workers, lease=lease)._replace(unsteady=FRESH)
            yield f"{FAULT}Valkey's clock is {name}", jumped
    if rules.deadline_is_monotonic:
        return
    for worker in dict.fromkeys(state.workers):
        others = list(state.workers)
        others.remove(worker)
        moved = with_workers(spent, [*others, worker._replace(left=BEYOND)])
        yield f"{FAULT}the clock of the {worker.at} worker is set back", moved


def shortened(state: State, rules: Rules) -> Iterator[Step]:
    """Yield the sweep's step against a lease that ends after any that a worker asks for."""
    if state.lease == BEYOND and not state.unsteady and rules.sweep_shortens_leases:
        yield "sweep shortens the lease", state._replace(lease=FRESH)


def new_holder(state: State, rules: Rules) -> int:
    """Return a name for who claims now: only after a failover is the number not enough."""
    if not rules.failovers:
        return 0
    known = {worker.holder for worker in state.workers} | {state.holder}
    known |= set() if state.replica is None else {state.replica.holder}
    return next(name for name in range(1, len(known) + 2) if name not in known)


def failover(state: State, rules: Rules) -> Iterator[Step]:
    """Yield the moment from which a replica hears nothing more, and that of its promotion."""
    if state.replica is None:
        if state.failovers:
            # What is no record of Valkey's does not count.
            seen = state._replace(workers=(), flying=frozenset(), failovers=0, branch=0, swept=None)
            yield (
                f"{FAULT}the replica falls behind",
                state._replace(replica=seen, failovers=state.failovers - 1),
            )
        return
    known = state.replica
    promoted = known._replace(
        workers=state.workers,
        flying=state.flying,
        branch=state.branch,
        swept=state.swept,
        faults=state.faults,
        jumps=state.jumps,
        failovers=state.failovers,
        broken=state.broken,
        unsteady=state.unsteady,
    )
    held = known.status in ACTIVE and known.lease is not None
    workers = [
        w._replace(owns=held and _is_holder(known, w) and w in working_in(state))
        for w in state.workers
    ]
    is_renewed = any(w.owns and w.beats for w in workers)
    yield (
        "the replica is promoted",
        with_workers(promoted, workers, lease=FRESH if is_renewed else known.lease),
    )


def _is_holder(known: State, worker: Worker) -> bool:
    return (worker.token, worker.holder) == (known.attempt, known.holder)
