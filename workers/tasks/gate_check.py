"""`orchestrator.gate_check`: runs the gates on an attempt's change and delivers approved ones."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.messages import GATE_CHECK_TASK
from workers.app import app, services_of


@app.task(bind=True, name=GATE_CHECK_TASK)
def gate_check(task: Task[Any, Any], /, agent_id: str, attempt: int) -> None:
    """Check the change of this attempt."""
    services_of(task).gate_check.run(agent_id, attempt)
