"""`orchestrator.cleanup`: removes container, workspace and working keys of an ended agent."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.messages import CLEANUP_TASK
from workers.app import app, services_of


@app.task(bind=True, name=CLEANUP_TASK)
def cleanup(task: Task[Any, Any], /, agent_id: str, attempt: int) -> None:
    """Clean up after this agent."""
    del attempt  # an agent ends only once
    services_of(task).cleanup.run(agent_id)
