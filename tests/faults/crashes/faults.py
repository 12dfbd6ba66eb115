"""What happens while all agents stand at their steps, and how each goes on then."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from orchestrator.messages import QUEUES
from tests.faults.conftest import send
from tests.faults.crashes.crash import AGAIN, NEXT, SAME, Crash
from tests.faults.crashes.steps import GATES_STEPS, SPAWN_STEPS
from tests.faults.crashes.watch import is_alive
from tests.processes import eventually, marked_all

#: How long Valkey is away decides, and either is right.
EITHER = f"{SAME} or {NEXT}"


@dataclass(frozen=True)
class Fault:
    """A column of the matrix: what happens while all agents stand at their steps."""

    title: str
    strike: Callable[[Crash], None]
    #: What goes on, once the fault is over, that it does not go on as before.
    carried_on: Mapping[str, str] = field(default_factory=dict)

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
            eventually(lambda: not {crash.ids[step] for step in taken_over} & marked_all().keys())
    finally:
        for pid in stopped:
            send(pid, signal.SIGCONT)


_ALL_NEXT = dict.fromkeys((*SPAWN_STEPS, *GATES_STEPS), NEXT)
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "workers": Fault("SIGKILL of the workers", kill_workers, _ALL_NEXT | {"cleaning": AGAIN}),
        "pool": Fault(
            "SIGKILL of the gates pool's processes",
            kill_pool_children,
            dict.fromkeys(GATES_STEPS, NEXT),
        ),
        "scheduler": Fault("SIGKILL of the scheduler", kill_scheduler),
        "api": Fault("SIGKILL of the API", kill_api),
        "valkey": Fault("SIGKILL of Valkey", kill_valkey, dict.fromkeys(_ALL_NEXT, EITHER)),
        "stopped": Fault(
            "SIGSTOP of the workers past their lease, SIGCONT", stop_workers, _ALL_NEXT
        ),
    }
)
