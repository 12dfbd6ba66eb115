"""`orchestrator.spawn`: registers a raw request, or runs the agent with the message's id."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.errors import BudgetExhausted, Halted, RequestInvalid
from orchestrator.messages import SPAWN_TASK
from workers.app import app, services_of
from workers.raw_requests import register_at_last


@app.task(bind=True, name=SPAWN_TASK)
def spawn(task: Task[Any, Any], /, *arguments: Any, **named: Any) -> None:
    """Run the agent with the id of this task.

    A message with a request comes from a client that uses Celery alone: the submit service
    registers it like any other request and enqueues the agent by its priority. Other arguments
    are an error of the client. This task stores a result for it: Celery itself would store none.
    """
    agent_id, services = str(task.request.id), services_of(task)
    if not arguments and not named:
        services.runner.run(agent_id)
        return
    try:
        document = _request_in(arguments, named)
        register_at_last(services, agent_id, document, task.request.delivery_info)
    except (RequestInvalid, Halted, BudgetExhausted) as error:
        services.store.run(services.submit_service.refuse(agent_id, error))


def _request_in(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if len(arguments) == 1 and not named:
        return arguments[0]
    if arguments or named.keys() != {"request"}:
        raise RequestInvalid((("arguments", "must be one, `request`"),))
    return named["request"]
