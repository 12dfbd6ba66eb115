"""The Celery application, and the services its tasks call."""

from __future__ import annotations

import os
import signal
import socket
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from billiard.process import active_children
from celery import Celery, Task
from celery.signals import task_postrun, worker_process_init, worker_shutting_down

from orchestrator.errors import OrchestratorError, StoreRefused
from orchestrator.log import about, get_logger
from orchestrator.messages import CLEANUP_QUEUE, QUEUES
from orchestrator.models import Status
from orchestrator.store import agents, queues
from orchestrator.store.budget import publish
from orchestrator.tracing import exporting, stage
from workers.settings import own_settings

if TYPE_CHECKING:
    from orchestrator.wiring.worker import Services

#: The signal from a worker to its pool's children; Celery uses the other signals itself.
REQUEUE_ON_SHUTDOWN = signal.SIGRTMIN

log = get_logger("worker")


class StageTask(Task[Any, Any]):
    """A task whose log lines and trace carry the agent that its message names."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task."""
        agent_id = str(self.request.id).partition(".")[0]
        with about(agent_id), stage(exporting(), agent_id, str(self.name)):
            return super().__call__(*args, **kwargs)


app = Celery("orchestrator", task_cls=StageTask)
# Read when the application is first used: importing this module has no effect.
app.config_from_object("celeryconfig")


def services_of(task: Task[Any, Any]) -> Services:
    """Return the services of the process that runs this task."""
    return services_in(task.request.hostname)


def services_in(worker: str | None) -> Services:
    """Return the services of this process of a worker; the first call builds them."""
    # Threads of a pool start together, and the cache takes no lock while it is filled.
    with _building:
        return _build(os.getpid(), worker or socket.gethostname())


@task_postrun.connect
def count(task: Task[Any, Any], task_id: str, state: str, **_options: Any) -> None:
    """Count a message as processed; as failed if its task failed or its agent has failed."""
    queue = (task.request.delivery_info or {}).get("routing_key")
    if queue not in QUEUES:
        return
    store = services_of(task).store
    try:
        is_failed = state != "SUCCESS"
        if queue != CLEANUP_QUEUE:
            agent = store.run(agents.find(task_id.partition(".")[0]))
            is_failed |= agent is not None and agent.status is Status.FAILED
        store.run(queues.count(queue, is_failed=is_failed))
    except OrchestratorError as error:
        log.warning("not counted", queue=queue, reason=str(error))


@worker_process_init.connect
def heed_the_end(**_options: Any) -> None:
    """Make a forked child release its agents when its worker signals the end."""
    signal.signal(REQUEUE_ON_SHUTDOWN, lambda *_: _stop_holding())


@worker_shutting_down.connect
def requeue_on_shutdown(**_options: Any) -> None:
    """Requeue the agents that this worker holds, so that another worker continues them."""
    _stop_holding()
    for pid in (child.pid for child in active_children() if child.pid):
        os.kill(pid, REQUEUE_ON_SHUTDOWN)


def _stop_holding() -> None:
    for services in _built:
        services.holder.stop()


_building = threading.Lock()
#: The services of this process; a forked child drops its parent's.
_built: list[Services] = []


@lru_cache(maxsize=1)
def _build(pid: int, worker: str) -> Services:
    # Keyed by process: a forked pool child must not share its parent's connections.
    del pid
    from orchestrator.wiring.worker import build  # noqa: PLC0415 - the scheduler needs no stage

    services = build(own_settings(), worker=worker)
    # Before its first claim: the published limits apply.
    try:
        services.store.run(publish(services.settings))
    except StoreRefused as error:
        # A full Valkey has those of before, and this process may be what frees memory.
        log.warning("limits not published", reason=str(error))
    services.kill_listener.start()
    _built[:] = [services]
    return services
