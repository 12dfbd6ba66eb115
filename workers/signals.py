"""Handlers of Celery's signals: start, idle time and end of a worker process."""

from __future__ import annotations

import gc
import sys
from functools import partial
from typing import Any

from celery.signals import worker_init, worker_ready, worker_shutting_down

from orchestrator.errors import ClockSkewed, StoreRefused, StoreUnreachable
from orchestrator.host.descriptors import raise_descriptor_limit
from orchestrator.log import get_logger
from orchestrator.messages import GATES_QUEUE, SPAWN_QUEUE
from orchestrator.secretscan.scanner import masked
from orchestrator.settings import Settings
from orchestrator.store import workers
from orchestrator.store.client import Store
from orchestrator.store.server_clock import ServerClock
from orchestrator.wiring.host import host_cleaner, server_clock
from orchestrator.wiring.worker import load_stage
from orchestrator.workspace.disk import lack_of_space
from workers.queue_pauses import RECONCILE_EVERY_S, own_queues, reconcile
from workers.settings import own_settings

#: On threads nothing wakes the hub when a slot is free: a refill took 851 ms, with this 51 ms.
WAKE_EVERY_S = 0.1

log = get_logger("worker")


@worker_init.connect
def load_before_fork(sender: Any, **_options: Any) -> None:
    """Load stages and secret scanner before the pool forks: children share them, no agent waits.

    Cleanup rarely needs the 40 MiB of the scanner.
    """
    own = own_queues(sender)
    for queue in own:
        load_stage(queue)
    if {*own} & {SPAWN_QUEUE, GATES_QUEUE}:
        masked("")
    # A collection in a child would write to each object that it shares with its parent.
    gc.collect()
    gc.freeze()


@worker_init.connect
def raise_limit(**_options: Any) -> None:
    """Let many agents run: a login shell gives 1,024 descriptors, and each agent takes some."""
    raise_descriptor_limit()


@worker_init.connect
def check_clock(**_options: Any) -> None:
    """End the start of a worker whose clock differs too much from Valkey's."""
    settings = own_settings()
    ahead_s = ServerClock(Store(settings.valkey_url)).measure_skew_s()
    if ahead_s is not None and abs(ahead_s) > settings.clock_skew_limit_s:
        error = ClockSkewed(ahead_s, settings.clock_skew_limit_s)
        # Celery catches every other exception of a handler.
        sys.exit(f"{error.detail} {error.what_to_do}")


@worker_ready.connect
def keep_awake_and_announced(sender: Any, **_options: Any) -> None:
    """Wake the hub for free slots, apply pauses, renew the worker's name, and clean the host."""
    settings = own_settings()
    store = Store(settings.valkey_url)
    time_source = server_clock(settings.valkey_url)
    announce_it = partial(announce, store, sender.hostname, time_source, settings)
    announce_it()
    host_cleaner(settings, worker=sender.hostname).start()
    own = own_queues(sender)
    # Before the first fetch: no message of a paused queue is consumed.
    reconcile(store, sender, own)
    if sender.hub is not None:
        sender.hub.call_repeatedly(RECONCILE_EVERY_S, reconcile, store, sender, own)
        sender.hub.call_repeatedly(WAKE_EVERY_S, lambda: None)
        sender.hub.call_repeatedly(workers.RENEW_EVERY_S, announce_it)


@worker_shutting_down.connect
def withdraw(sender: Any, **_options: Any) -> None:
    """Remove this worker's name, so that readiness reports its end at once."""
    store = Store(own_settings().valkey_url)
    try:
        store.run(workers.withdraw(str(sender)))
    except (StoreUnreachable, StoreRefused) as error:
        log.warning("not withdrawn", reason=str(error))
    finally:
        store.close()


def announce(store: Store, worker: str, time_source: ServerClock, settings: Settings) -> None:
    """Renew a worker's name, its clock's skew and its lack of space; a later renewal repeats it."""
    try:
        store.run(workers.announce(worker, now=time_source()))
        if (skew_s := time_source.skew_s) is not None:
            store.run(workers.record_skew(worker, skew_s))
        lack = lack_of_space(settings.workspaces_dir, settings.disk_low_water_bytes)
        store.run(workers.record_shortage(worker, lack))
    except (StoreUnreachable, StoreRefused) as error:
        log.warning("presence not renewed", worker=worker, reason=str(error))
