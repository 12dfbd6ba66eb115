"""`orchestrator.spawn`: registers a raw request, or runs the agent the message is named after."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.errors import BudgetExhausted, Halted, RequestInvalid
from orchestrator.messages import SPAWN_TASK, contract_priority
from workers.app import app, services_of


@app.task(bind=True, name=SPAWN_TASK)
def spawn(task: Task[Any, Any], /, request: dict[str, Any] | None = None) -> None:
    """Look at the agent this task is named after.

    A message with a request comes from a client that knows only Celery: it goes through the front
    door like any other request, which enqueues the agent by its priority.
    """
    agent_id = str(task.request.id)
    services = services_of(task)
    if request is None:
        services.runner.run(agent_id)
        return
    priority = contract_priority(int((task.request.delivery_info or {}).get("priority") or 0))
    try:
        submission = services.front_door.submit(request, agent_id=agent_id, priority=priority)
        services.store.run(submission)
    except (RequestInvalid, Halted, BudgetExhausted) as error:
        services.store.run(services.front_door.refuse(agent_id, error))
