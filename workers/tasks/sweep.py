"""`orchestrator.sweep`: recovers agents without a holder, and chains waiting audit drafts."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.messages import SWEEP_TASK
from workers.app import app, services_of


@app.task(bind=True, name=SWEEP_TASK)
def sweep(task: Task[Any, Any], /) -> None:
    """Check every expired lease, and append the audit drafts since the last sweep."""
    services_of(task).sweep()
