"""`orchestrator.cleanup`: removes what an ended agent left."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.messages import CLEANUP_TASK
from workers.app import app, services_of


@app.task(bind=True, name=CLEANUP_TASK)
def cleanup(task: Task[Any, Any], /, agent_id: str, attempt: int) -> None:
    """Clean up after this agent."""
    del attempt  # an agent has ended only once
    services_of(task).cleanup.run(agent_id)
