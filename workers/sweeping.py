"""Starts the sweep timer of a cleanup worker, which needs no message of the broker."""

from __future__ import annotations

from typing import Any

from celery.signals import worker_init, worker_ready

from orchestrator.errors import OrchestratorError
from orchestrator.log import get_logger
from orchestrator.maintenance.sweep_timer import SweepTimer
from orchestrator.messages import CLEANUP_QUEUE
from orchestrator.store.client import Store
from orchestrator.store.sweeps import Sweeper
from orchestrator.wiring.host import server_clock
from workers.app import services_in
from workers.queue_pauses import own_queues
from workers.settings import own_settings

log = get_logger("worker")


@worker_init.connect
def free_memory(sender: Any, **_options: Any) -> None:
    """Sweep before the first connection of Celery, which a full Valkey refuses.

    The start then fails, and its process manager tries again; each try frees some memory.
    """
    if CLEANUP_QUEUE not in own_queues(sender):
        return
    try:
        sweep_timer(sender.hostname).check()
    except OrchestratorError as error:
        log.warning("not swept", reason=str(error))


@worker_ready.connect
def keep_sweeping(sender: Any, **_options: Any) -> None:
    """Start the timer of a cleanup worker."""
    if CLEANUP_QUEUE in own_queues(sender):
        sweep_timer(sender.hostname).start()


def sweep_timer(worker: str) -> SweepTimer:
    """Build the timer that sweeps if the scheduler does not."""
    url = own_settings().valkey_url
    return SweepTimer(
        Store(url), server_clock(url), lambda: services_in(worker).sweep(Sweeper.TIMER)
    )
