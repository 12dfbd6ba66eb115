"""The checks of `orch doctor` that read Valkey: clocks, sweeps, unreadable records."""

from __future__ import annotations

from orchestrator.errors import ClockSkewed, OrchestratorError, SystemNotRunning
from orchestrator.settings import Settings
from orchestrator.store import agents, sweeps, unreadable, workers
from orchestrator.store.client import Store
from orchestrator.store.server import now as server_now
from orchestrator.store.server_clock import ServerClock

#: The unreadable agents that one line names.
_SHOWN = 5


def see_clock(settings: Settings, url: str | None) -> str:
    """Return how far this host's clock and those of the workers' hosts are from Valkey's."""
    if url is None:
        raise SystemNotRunning
    store = Store(url)
    try:
        # Raises if Valkey does not answer, where the measurement returns nothing.
        now = store.run(server_now())
        here_s = ServerClock(store).measure_skew_s() or 0.0
        present = store.run(workers.present(now=now))
        skews = {"this host": here_s, **store.follow(workers.skews(present))}
    finally:
        store.close()
    name, worst_s = max(skews.items(), key=lambda pair: abs(pair[1]))
    if abs(worst_s) > settings.clock_skew_limit_s:
        error = ClockSkewed(worst_s, settings.clock_skew_limit_s)
        msg = f"{name}: {error.detail}"
        raise OrchestratorError(msg, action=error.what_to_do)
    return f"{name} is {worst_s:+.3f} s from Valkey, of {len(skews)} clocks"


def see_sweep(url: str | None) -> str:
    """Return the age of the last sweep, and whether the scheduler starts them."""
    if url is None:
        raise SystemNotRunning
    store = Store(url)
    try:
        now, last = store.run(server_now()), store.run(sweeps.last_ms())
    finally:
        store.close()
    age_s = sweeps.age_s(last, now)
    by_scheduler = {by: at for by, at in last.items() if by == sweeps.Sweeper.SCHEDULER}
    scheduled_s = sweeps.age_s(by_scheduler, now)
    if age_s is None or age_s > sweeps.SWEEP_OVERDUE_S:
        since = "ever" if age_s is None else f"for {age_s:.0f} s"
        msg = f"No sweep {since}: lost agents are not recovered, and retention stands still."
        raise OrchestratorError(msg, action="Start the scheduler and a cleanup worker.")
    if scheduled_s is None or scheduled_s > sweeps.SWEEP_OVERDUE_S:
        msg = "The scheduler starts no sweeps; the cleanup workers sweep instead."
        raise OrchestratorError(msg, action="Read the scheduler's log, and restart it.")
    return f"the last one was {age_s:.0f} s ago"


def see_records(url: str | None) -> str:
    """Return how many records can be read; raise with the names of those set aside."""
    if url is None:
        raise SystemNotRunning
    store = Store(url)
    try:
        named = store.run(unreadable.agents_set_aside())
        found = store.follow(agents.find_each(named))
        left = [one for one, state in zip(named, found, strict=True) if state is None]
        left = [one for one in left if store.run(agents.has_record(one))]
        if readable := sorted({*named} - {*left}):
            store.run(unreadable.forget_agents(readable))
    finally:
        store.close()
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        msg = f"This version cannot read the agents {', '.join(left[:_SHOWN])}{more}."
        action = "Run the version that wrote them, or see `orch fsck`. Others are not affected."
        raise OrchestratorError(msg, action=action)
    return "all that were looked at can be read"
