"""`orchestrator.sweep`: finds what no worker holds any more."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.messages import SWEEP_TASK
from workers.app import app, services_of


@app.task(bind=True, name=SWEEP_TASK)
def sweep(task: Task[Any, Any], /) -> None:
    """Look at every lease that has ended."""
    services_of(task).monitor.sweep()
