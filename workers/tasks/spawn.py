"""`orchestrator.spawn`: registers a raw request, or runs the agent the message is named after."""

from __future__ import annotations

from typing import Any

from celery import Task

from orchestrator.errors import BudgetExhausted, Halted, RequestInvalid
from orchestrator.messages import SPAWN_TASK
from workers.app import app, services_of
from workers.raw_requests import register


@app.task(bind=True, name=SPAWN_TASK)
def spawn(task: Task[Any, Any], /, *arguments: Any, **named: Any) -> None:
    """Look at the agent this task is named after.

    A message with a request comes from a client that knows only Celery: it goes through the front
    door like any other request, which enqueues the agent by its priority. Any other arguments are a
    client's slip, who is answered: Celery itself would keep no result of it.
    """
    agent_id, services = str(task.request.id), services_of(task)
    if not arguments and not named:
        services.runner.run(agent_id)
        return
    try:
        register(services, agent_id, _request_in(arguments, named), task.request.delivery_info)
    except (RequestInvalid, Halted, BudgetExhausted) as error:
        services.store.run(services.submit_service.refuse(agent_id, error))


def _request_in(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if len(arguments) == 1 and not named:
        return arguments[0]
    if arguments or named.keys() != {"request"}:
        raise RequestInvalid((("arguments", "must be one, `request`"),))
    return named["request"]
