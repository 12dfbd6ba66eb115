"""Handlers of Celery's signals: start, idle time and end of a worker process."""

from __future__ import annotations

from typing import Any

from celery.signals import setup_logging, worker_init, worker_ready, worker_shutting_down

from orchestrator.errors import StoreUnreachable
from orchestrator.log import configure_logging, get_logger
from orchestrator.secretscan.scanner import masked
from orchestrator.settings import load_settings
from orchestrator.store import workers
from orchestrator.store.client import Store
from orchestrator.wiring import clock, with_secrets
from orchestrator.wiring.host import host_cleaner
from workers.queue_pauses import RECONCILE_EVERY_S, own_queues, reconcile

#: On threads nothing wakes the hub when a slot is free: a refill took 851 ms, with this 51 ms.
WAKE_EVERY_S = 0.1

log = get_logger("worker")


@setup_logging.connect
def use_our_logs(**_options: Any) -> None:
    """Prevent Celery from configuring logging."""
    configure_logging(secrets=with_secrets(load_settings()).secrets)


@worker_init.connect
def load_rules(**_options: Any) -> None:
    """Load the secret scanner before the pool forks: the children share it, and no agent waits."""
    masked("")


@worker_ready.connect
def keep_awake_and_announced(sender: Any, **_options: Any) -> None:
    """Wake the hub for free slots, apply pauses, renew the worker's name, and clean the host."""
    settings = load_settings()
    store = Store(settings.valkey_url)
    announce(store, sender.hostname)
    host_cleaner(settings, worker=sender.hostname).start()
    own = own_queues(sender)
    # Before the first fetch: no message of a paused queue is consumed.
    reconcile(store, sender, own)
    if sender.hub is not None:
        sender.hub.call_repeatedly(RECONCILE_EVERY_S, reconcile, store, sender, own)
        sender.hub.call_repeatedly(WAKE_EVERY_S, lambda: None)
        sender.hub.call_repeatedly(workers.RENEW_EVERY_S, announce, store, sender.hostname)


@worker_shutting_down.connect
def withdraw(sender: Any, **_options: Any) -> None:
    """Remove this worker's name, so that readiness reports its end at once."""
    store = Store(load_settings().valkey_url)
    try:
        store.run(workers.withdraw(str(sender)))
    except StoreUnreachable as error:
        log.warning("not withdrawn", reason=str(error))
    finally:
        store.close()


def announce(store: Store, worker: str) -> None:
    """Renew a worker's name; if Valkey is unreachable, the next renewal repeats it."""
    try:
        store.run(workers.announce(worker, now=clock()))
    except StoreUnreachable as error:
        log.warning("presence not renewed", worker=worker, reason=str(error))
