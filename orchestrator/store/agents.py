"""Reads of agents, tasks and requests as they are stored."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import NotFound
from orchestrator.models import AgentState, SpawnRequest, TaskState
from orchestrator.store import keys
from orchestrator.store.operations import Operation, read_record


def find(agent_id: str) -> Operation[AgentState | None]:
    """Read an agent's state; None where there is none."""
    return read_record(AgentState, keys.agent(agent_id))


def read(agent_id: str) -> Operation[AgentState]:
    """Read an agent's state.

    Raises:
        NotFound: there is no such agent.
    """
    return _required(find(agent_id), f"There is no agent {agent_id}.")


def read_task(task_id: str) -> Operation[TaskState]:
    """Read a task's state.

    Raises:
        NotFound: there is no such task.
    """
    found = read_record(TaskState, keys.task(task_id))
    return _required(found, f"There is no task {task_id}.")


def read_request(agent_id: str) -> Operation[SpawnRequest]:
    """Read the request an agent came from.

    Raises:
        NotFound: there is no such agent.
    """
    found = read_record(SpawnRequest, keys.request(agent_id))
    return _required(found, f"There is no request of agent {agent_id}.")


def _required(found: Operation[Any], message: str) -> Operation[Any]:
    def decode(reply: Any) -> Any:
        record = found.decode(reply)
        if record is None:
            raise NotFound(message)
        return record

    return Operation(found.arguments, decode, found.script)
