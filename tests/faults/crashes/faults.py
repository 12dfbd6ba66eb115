"""What happens while all agents stand at their steps, and how each goes on then."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from orchestrator.messages import QUEUES
from tests.faults.conftest import send
from tests.faults.crashes import shortages, sites
from tests.faults.crashes.crash import AGAIN, NEXT, SAME, Crash
from tests.faults.crashes.sites import MakeSite
from tests.faults.crashes.steps import GATES_STEPS, SPAWN_STEPS, STEPS
from tests.faults.crashes.watch import is_alive
from tests.processes import eventually, marked_all

#: How long Valkey is away decides, and either is right.
EITHER = f"{SAME} or {NEXT}"
SENT = f"{SAME} or {AGAIN}"
#: A message may be lost with what its worker could not write.
ANY = f"{EITHER} or {AGAIN}"
#: In CI each fault meets agents at some of the steps: a step costs seconds, and all are hit.
RUNS_ALL = os.environ.get("CRASH_STEPS") == "all"


@dataclass(frozen=True)
class Fault:
    """A column of the matrix: what happens while all agents stand at their steps."""

    title: str
    strike: Callable[[Crash], None]
    #: The steps in CI; none if only `CRASH_STEPS=all` runs this fault.
    sample: tuple[str, ...]
    #: What goes on, once the fault is over, that it does not go on as before.
    carried_on: Mapping[str, str] = field(default_factory=dict)
    site: MakeSite = sites.plain

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps at which agents are met, in the order of their life."""
        return tuple(step for step in STEPS if RUNS_ALL or step in self.sample)

    def outcome(self, step: str) -> str:
        """Return how an agent that was at this step comes to its end."""
        return self.carried_on.get(step, SAME)


def kill_workers(crash: Crash) -> None:
    """All three at once, and the pool's processes follow; the git they leave is let go on."""
    holders = crash.holders(*SPAWN_STEPS, *GATES_STEPS)
    for name in QUEUES:
        send(crash.pids[name], signal.SIGKILL)
    eventually(lambda: not any(is_alive(pid) for pid in holders))
    crash.release()


def kill_pool_children(crash: Crash) -> None:
    """The gates pool's processes under its main one."""
    for pid in crash.holders(*GATES_STEPS) - {crash.pids["gates"]}:
        send(pid, signal.SIGKILL)
    crash.release()


def kill_scheduler(crash: Crash) -> None:
    send(crash.pids["scheduler"], signal.SIGKILL)
    crash.release()


def kill_api(crash: Crash) -> None:
    send(crash.pids["api"], signal.SIGKILL)
    crash.release()


def kill_valkey(crash: Crash) -> None:
    """It comes back with its append-only file, while every agent takes its next step."""
    send(crash.pids["valkey"], signal.SIGKILL)
    crash.release()


def stop_workers(crash: Crash) -> None:
    """Another host takes over, and only when it is done, what the stopped one had begun goes on."""
    stopped = {*crash.holders(*GATES_STEPS), *(crash.pids[name] for name in QUEUES)}
    taken_over = (*SPAWN_STEPS, *GATES_STEPS)
    try:
        for pid in stopped:
            send(pid, signal.SIGSTOP)
        with crash.second_host():
            crash.await_end(*taken_over)
            crash.release()
            # Its own git is no program of an agent: it may come to its end, late and fenced.
            held = {crash.ids[step] for step in taken_over if step in crash.ids}
            eventually(lambda: not held & marked_all().keys())
    finally:
        for pid in stopped:
            send(pid, signal.SIGCONT)


_HELD = (*SPAWN_STEPS, *GATES_STEPS)
_ALL_NEXT = dict.fromkeys(_HELD, NEXT)
_ALL_ANY = dict.fromkeys(_HELD, ANY) | {"cleaning": SENT}
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "workers": Fault(
            "SIGKILL of the workers",
            kill_workers,
            ("cloned", "running", "pushing"),
            _ALL_NEXT | {"cleaning": AGAIN},
        ),
        "pool": Fault(
            "SIGKILL of the gates pool's processes",
            kill_pool_children,
            ("gating", "committed", "pushed"),
            dict.fromkeys(GATES_STEPS, NEXT),
        ),
        "scheduler": Fault("SIGKILL of the scheduler", kill_scheduler, ()),
        "api": Fault("SIGKILL of the API", kill_api, ()),
        "valkey": Fault(
            "SIGKILL of Valkey",
            kill_valkey,
            ("captured", "verdict", "pushed"),
            dict.fromkeys(_HELD, EITHER),
        ),
        "stopped": Fault(
            "SIGSTOP of the workers past their lease, SIGCONT",
            stop_workers,
            ("claimed", "captured", "pushing"),
            _ALL_NEXT,
        ),
        "disk": Fault(
            "the disk full, then freed",
            shortages.fill_disk,
            ("cloned", "running", "gating", "committed"),
            _ALL_ANY,
            sites.small_home,
        ),
        "hung": Fault(
            "Valkey hung for 20 s",
            shortages.hang_valkey,
            ("running", "captured", "verdict", "pushing"),
            site=sites.long_lease,
        ),
        "dropped": Fault(
            "packets between a host and Valkey dropped, then not",
            shortages.drop_packets,
            ("running", "captured", "gating", "pushed"),
            _ALL_NEXT | {"cleaning": SENT},
            sites.behind_a_link,
        ),
        "memory": Fault(
            "Valkey at its `maxmemory`, then raised",
            shortages.fill_valkey,
            ("claimed", "captured", "gating", "cleaning"),
            site=sites.calm,
        ),
        "promoted": Fault(
            "a replica promoted, its last second lost",
            shortages.promote_replica,
            ("captured", "verdict", "committed", "pushed"),
            _ALL_ANY,
            sites.with_replica,
        ),
        "ahead": Fault(
            "the clock of the host jumps by +2 h",
            shortages.set_clock,
            (),
            site=sites.clock_of_host("+2h"),
        ),
        "behind": Fault(
            "the clock of the host jumps by -2 h",
            shortages.set_clock,
            (),
            site=sites.clock_of_host("-2h"),
        ),
        "jump": Fault(
            "the clock of Valkey jumps by +2 h",
            shortages.set_clock,
            (),
            site=sites.clock_of_valkey("+2h"),
        ),
        "back": Fault(
            "the clock of Valkey jumps by -2 h",
            shortages.set_clock,
            ("claimed", "gating", "pushing"),
            site=sites.clock_of_valkey("-2h"),
        ),
    }
)
