"""Registers requests that clients send through Celery alone, before the broker drops them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from celery.signals import task_received
from celery.worker import state

from orchestrator.errors import OrchestratorError, StoreRefused, StoreUnreachable
from orchestrator.log import get_logger
from orchestrator.messages import SPAWN_TASK, contract_priority
from orchestrator.store.client import passes
from orchestrator.wiring.worker import Services
from workers.app import services_in

#: The pause before Valkey is asked again.
_PAUSE_S = 1.0

log = get_logger("worker")


def register(
    services: Services, agent_id: str, document: object, delivery_info: Mapping[str, Any] | None
) -> None:
    """Register a raw request as the submit service does; a repeated call changes nothing."""
    priority = contract_priority(int((delivery_info or {}).get("priority") or 0))
    services.store.run(
        services.submit_service.submit(document, agent_id=agent_id, priority=priority, by="broker")
    )


def register_at_last(
    services: Services, agent_id: str, document: object, delivery_info: Mapping[str, Any] | None
) -> None:
    """Register a raw request, and wait for a Valkey that does not answer or has no space.

    The message is acknowledged, so that only this process knows the request.

    Raises:
        OrchestratorError: any other error; also these, if this worker is asked to end.
    """
    while True:
        try:
            register(services, agent_id, document, delivery_info)
        except (StoreRefused, StoreUnreachable) as error:
            if isinstance(error, StoreRefused) and not passes(error):
                raise
            # An exit code, 0 included.
            if state.should_stop is not None and state.should_stop is not False:
                log.critical("raw request lost", agentId=agent_id, reason=str(error))
                raise
            log.warning("not registered yet", agentId=agent_id, reason=str(error))
            time.sleep(_PAUSE_S)
        else:
            return


@task_received.connect
def register_first(request: Any, **_options: Any) -> None:
    """Register a raw request before its acknowledgement: after that a crash would lose it."""
    if request.name != SPAWN_TASK:
        return
    document = request.kwargs.get("request") or next(iter(request.args or ()), None)
    if not document:
        return
    try:
        register(services_in(request.hostname), str(request.id), document, request.delivery_info)
    except OrchestratorError as error:
        # The task meets the same error and reports it to the client.
        log.info("not registered yet", agentId=str(request.id), reason=str(error))
