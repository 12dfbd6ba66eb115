"""Celery's `revoke` of an agent is a kill; a request that expired gets its result.

Celery itself would store the result REVOKED for an agent that runs on, and discard each message of
an agent that waits, which the sweep sends again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from celery import Task
from celery.signals import task_revoked
from celery.worker import control
from kombu.utils.functional import maybe_list

from orchestrator import wiring
from orchestrator.errors import AgentEnded, KillUnconfirmed, NotFound, OrchestratorError
from orchestrator.log import get_logger
from orchestrator.messages import SPAWN_TASK
from orchestrator.store.kills import KillOrder
from workers.app import services_in

ORDER = KillOrder(by="celery", why="revoked through Celery")

_REVOKE: Any = control.Panel.data["revoke"]

log = get_logger("worker")


@control.control_command(name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke_agents(state: Any, task_id: Any, **_options: Any) -> Any:
    """Kill the agents of task ids, whatever `terminate` says; an unknown id is left to Celery.

    An unknown id is that of a request which no worker has received yet: Celery discards it then.
    """
    unknown: list[str] = []
    failed: list[str] = []
    for one in maybe_list(task_id) or ():
        try:
            if not _kill(state.hostname, str(one).partition(".")[0]):
                unknown.append(one)
        except OrchestratorError as error:
            log.exception("not killed", agentId=str(one), reason=str(error))
            failed.append(f"{one}: {error}")
    if unknown:
        # Without `terminate`, which would end the processes of a pool.
        _REVOKE(state, unknown)
    return (
        {"error": " ".join(failed)} if failed else {"ok": "revoked, and killed if they are agents"}
    )


@control.control_command(
    name="terminate",
    variadic="task_id",
    args=[("signal", str)],
    signature="<signal> [id1 [id2 [... [idN]]]]",
)
def terminate_agents(state: Any, signal: str, task_id: Any, **_options: Any) -> Any:
    """Kill the agents of task ids, as `revoke` does."""
    del signal
    return revoke_agents(state, task_id)


@task_revoked.connect
def report_expired(sender: Task[Any, Any], request: Any, expired: bool, **_options: Any) -> None:  # noqa: FBT001 - Celery's signature
    """Store Celery's result for a request that expired in the queue; its client waits for it."""
    if expired and sender.name == SPAWN_TASK:
        sender.backend.mark_as_revoked(request.id, "expired", store_result=True)


def _kill(hostname: str, agent_id: str) -> bool:
    """Kill an agent without a wait for the confirmation; return whether there is such an agent.

    Raises:
        OrchestratorError: it could not be killed.
    """
    services = services_in(hostname)
    switch = wiring.kill_switch(services.settings)
    # Each worker gets the order: another one was first, or the agent has ended.
    with suppress(KillUnconfirmed, AgentEnded):
        try:
            services.store.follow(switch.kill(agent_id, ORDER, timeout_s=0))
        except NotFound:
            return False
    return True
