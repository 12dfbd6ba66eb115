"""The Celery application, and the services its tasks call."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from typing import Any

from celery import Celery, Task
from celery.signals import worker_shutting_down

from orchestrator.settings import load_settings
from orchestrator.wiring import Services, build

app = Celery("orchestrator")
# Read when the application is first used: importing this does nothing.
app.config_from_object("celeryconfig")


def services_of(task: Task[Any, Any]) -> Services:
    """Return the services of the process that runs this task, built at first use."""
    return _build(os.getpid(), task.request.hostname or socket.gethostname())


@worker_shutting_down.connect
def give_back(**_options: Any) -> None:
    """Give back the agents this process holds: another worker goes on with them."""
    for services in _built:
        services.runner.holder.stop()


#: Those of this process; a forked child forgets its parent's.
_built: list[Services] = []


@lru_cache(maxsize=1)
def _build(pid: int, worker: str) -> Services:
    # Keyed by process: a forked pool child must not share its parent's connections.
    del pid
    services = build(load_settings(), worker=worker)
    services.kill_listener.start()
    _built[:] = [services]
    return services
