"""`orchestrator.spawn`: registers a raw request, or runs the agent the message is named after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Task
from celery.signals import task_received

from orchestrator.errors import BudgetExhausted, Halted, OrchestratorError, RequestInvalid
from orchestrator.log import get_logger
from orchestrator.messages import SPAWN_TASK, contract_priority
from orchestrator.wiring import Services
from workers.app import app, services_in, services_of

log = get_logger("worker")


@app.task(bind=True, name=SPAWN_TASK)
def spawn(task: Task[Any, Any], /, request: dict[str, Any] | None = None) -> None:
    """Look at the agent this task is named after.

    A message with a request comes from a client that knows only Celery: it goes through the front
    door like any other request, which enqueues the agent by its priority.
    """
    agent_id, services = str(task.request.id), services_of(task)
    if request is None:
        services.runner.run(agent_id)
        return
    try:
        _register(services, agent_id, request, task.request.delivery_info)
    except (RequestInvalid, Halted, BudgetExhausted) as error:
        services.store.run(services.front_door.refuse(agent_id, error))


@task_received.connect
def register_first(request: Any, **_options: Any) -> None:
    """Register a raw request while the broker still has it: after that a crash would lose it."""
    document = request.name == SPAWN_TASK and request.kwargs.get("request")
    if not document:
        return
    try:
        services = services_in(request.hostname)
        _register(services, str(request.id), document, request.delivery_info)
    except OrchestratorError as error:
        # The task meets the same, and tells the client.
        log.info("not registered yet", agentId=str(request.id), reason=str(error))


def _register(
    services: Services, agent_id: str, document: object, delivery_info: Mapping[str, Any] | None
) -> None:
    priority = contract_priority(int((delivery_info or {}).get("priority") or 0))
    services.store.run(
        services.front_door.submit(document, agent_id=agent_id, priority=priority, by="broker")
    )
