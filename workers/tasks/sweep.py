"""`orchestrator.sweep`: finds what no worker holds, and chains what waits for the audit."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.messages import SWEEP_TASK
from workers.app import app, services_of


@app.task(bind=True, name=SWEEP_TASK)
def sweep(task: Task[Any, Any], /) -> None:
    """Look at every lease that has ended; put in the audit what was done since the last look."""
    services = services_of(task)
    services.rescuer.sweep()
    services.store.follow(services.audit.append_waiting())
