"""Selects the queues that a worker consumes: its own, except paused ones."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import StoreUnreachable
from orchestrator.log import get_logger
from orchestrator.messages import CLEANUP_QUEUE, QUEUES, SWEEP_QUEUE
from orchestrator.store import queues
from orchestrator.store.client import Store

#: The longest time (s) from a pause until no worker consumes the queue.
RECONCILE_EVERY_S = 1.0

log = get_logger("worker")


def own_queues(consumer: Any) -> tuple[str, ...]:
    """Return the queues that a worker was started for; the cleanup worker also serves the sweep.

    The sweep has a queue of its own, so that a pause of the cleanup does not stop recovery.
    """
    started_for = consumer.app.amqp.queues.consume_from
    own = tuple(queue for queue in QUEUES if queue in started_for)
    return (*own, SWEEP_QUEUE) if CLEANUP_QUEUE in own else own


def reconcile(store: Store, consumer: Any, own: tuple[str, ...]) -> None:
    """Consume exactly those of a worker's queues that are not paused.

    Messages remain in Valkey: kombu requeues one that was in transit to a cancelled consumer.
    """
    if consumer.task_consumer is None:
        return  # between two connections
    try:
        paused = store.run(queues.paused_names())
    except StoreUnreachable:
        return  # Valkey is unreachable for fetching too: change nothing
    for queue in own:
        is_consuming = consumer.task_consumer.consuming_from(queue)
        if queue in paused and is_consuming:
            consumer.cancel_task_queue(queue)
            log.info("paused", queue=queue)
        elif queue not in paused and not is_consuming:
            consumer.add_task_queue(queue)
            log.info("resumed", queue=queue)
