"""Registers requests that clients send through Celery alone, before the broker drops them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery.signals import task_received
from celery.worker import state

from orchestrator.errors import OrchestratorError, StoreRefused, StoreUnreachable
from orchestrator.log import get_logger
from orchestrator.messages import SPAWN_TASK, contract_priority
from orchestrator.store.patience import waiting_with
from workers.app import services_in

if TYPE_CHECKING:
    from orchestrator.wiring.worker import Services

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
    patience = _UntilStopped(agent_id)
    with waiting_with(patience, patience.pause):
        register(services, agent_id, document, delivery_info)


@dataclass(frozen=True)
class _UntilStopped:
    """The patience of a task that nobody repeats: it ends when the worker is asked to end."""

    agent_id: str

    def left_s(self, blocks_s: float) -> None:
        """Leave the time of a try to the store."""
        del blocks_s

    def pause(self, error: StoreUnreachable | StoreRefused) -> None:
        """Return when the request is to be registered again; raise the error to lose it."""
        # An exit code, 0 included.
        if state.should_stop is not None and state.should_stop is not False:
            log.critical("raw request lost", agentId=self.agent_id, reason=str(error))
            raise error
        log.warning("not registered yet", agentId=self.agent_id, reason=str(error))
        time.sleep(_PAUSE_S)

    def record_answer(self) -> None:
        """Any number of outages may follow one another."""


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
