"""Which queues a pool worker takes from: its own, but for those that are paused."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import StoreUnreachable
from orchestrator.log import get_logger
from orchestrator.messages import CLEANUP_QUEUE, QUEUES, SWEEP_QUEUE
from orchestrator.store import queues
from orchestrator.store.client import Store

#: So soon after a pause no worker takes from the queue any more.
RECONCILE_EVERY_S = 1.0

log = get_logger("worker")


def own_queues(consumer: Any) -> tuple[str, ...]:
    """Return the queues a worker was started for; the sweep goes with the cleanup.

    It has a queue of its own, or who pauses the cleanup would stop recovery too.
    """
    started_for = consumer.app.amqp.queues.consume_from
    own = tuple(queue for queue in QUEUES if queue in started_for)
    return (*own, SWEEP_QUEUE) if CLEANUP_QUEUE in own else own


def reconcile(store: Store, consumer: Any, own: tuple[str, ...]) -> None:
    """Take from exactly those of a worker's queues that are not paused.

    Messages stay in Valkey: one already on its way to a cancelled consumer is put back by kombu.
    """
    if consumer.task_consumer is None:
        return  # between two connections
    try:
        paused = store.run(queues.paused_names())
    except StoreUnreachable:
        return  # as it is: what cannot be asked cannot be fetched from either
    for queue in own:
        is_consuming = consumer.task_consumer.consuming_from(queue)
        if queue in paused and is_consuming:
            consumer.cancel_task_queue(queue)
            log.info("paused", queue=queue)
        elif queue not in paused and not is_consuming:
            consumer.add_task_queue(queue)
            log.info("resumed", queue=queue)
