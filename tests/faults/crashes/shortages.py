"""Strikes that take nothing down: what the system needs is full, hangs, is cut off or is wrong."""

from __future__ import annotations

import signal
from contextlib import suppress
from threading import Event

import psutil

from tests.faults.conftest import send
from tests.faults.crashes.crash import Crash
from tests.faults.crashes.steps import GATES_STEPS, SPAWN_STEPS
from tests.full_valkey import fill_memory
from tests.processes import eventually

#: A lease of the default length bears this.
HUNG_S = 20.0
#: Longer than a lease of this site.
FULL_S = 25.0
#: What the replica has not heard of.
LOST_S = 1.0
#: Starts of Valkey on the full disk: the first at once, the others after a second more each.
STARTS = 2


def fill_disk(crash: Crash) -> None:
    """Valkey ends at its next write and at each start; other programs end too, and are logged."""
    supervisor = psutil.Process(int((crash.system.home / "run/supervisord.pid").read_text()))
    crash.site.lose()
    crash.release()
    seen = {crash.pids["valkey"]}

    def has_started_often() -> bool:
        # Agents that end leave space.
        crash.site.lose()
        seen.update(_valkeys(supervisor))
        return len(seen) > STARTS

    eventually(has_started_often)
    for name in ("api", "scheduler"):
        with suppress(ProcessLookupError):
            send(crash.pids[name], signal.SIGKILL)
    crash.site.regain()
    assert supervisor.is_running()


def hang_valkey(crash: Crash) -> None:
    send(crash.pids["valkey"], signal.SIGSTOP)
    crash.release()
    Event().wait(HUNG_S)
    send(crash.pids["valkey"], signal.SIGCONT)


def drop_packets(crash: Crash) -> None:
    """Every agent takes its next step; another host takes over, and then the first is back."""
    crash.site.lose()
    crash.release()
    with crash.second_host():
        crash.await_end(*SPAWN_STEPS, *GATES_STEPS)
        crash.site.regain()


def fill_valkey(crash: Crash) -> None:
    """It stays full for longer than a lease."""
    with crash.valkey() as client:
        fill_memory(client)
        crash.release()
        Event().wait(FULL_S)
        client.config_set("maxmemory", 0)


def promote_replica(crash: Crash) -> None:
    """Every agent takes its next steps on a primary that is lost, and with it what it was told."""
    crash.site.lose()
    crash.release()
    Event().wait(LOST_S)
    crash.site.regain()


def set_clock(crash: Crash) -> None:
    crash.site.lose()
    crash.release()


def _valkeys(supervisor: psutil.Process) -> set[int]:
    """Return the pids of the Valkey that this process manager runs, one or none."""
    found = set()
    for child in supervisor.children():
        with suppress(psutil.NoSuchProcess):
            if child.environ().get("SUPERVISOR_PROCESS_NAME") == "valkey":
                found.add(child.pid)
    return found
