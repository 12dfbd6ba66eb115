"""Reads of agents, tasks and requests as they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.errors import NotFound
from orchestrator.models import AgentState, SpawnRequest, TaskState
from orchestrator.store import keys
from orchestrator.store.operations import Flow, Operation, command, read_record, read_records

#: Records that one command reads.
_BATCH = 500


def find(agent_id: str) -> Operation[AgentState | None]:
    """Read an agent's state; None where there is none."""
    return replace(read_record(AgentState, keys.agent(agent_id)), is_batched=True)


def read(agent_id: str) -> Operation[AgentState]:
    """Read an agent's state.

    Raises:
        NotFound: there is no such agent.
    """
    return _required(find(agent_id), f"There is no agent {agent_id}.")


def find_each(agent_ids: Iterable[str]) -> Flow[tuple[AgentState | None, ...]]:
    """Read the states of any number of agents, in their order; None for what cannot be read."""
    ids, found = tuple(agent_ids), ()
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        found += yield read_records(AgentState, tuple(map(keys.agent, some)))
    return found


def read_each(agent_ids: Iterable[str]) -> Flow[list[AgentState]]:
    """Read those of any number of agents whose state can be read, in their order."""
    found = yield from find_each(agent_ids)
    return [agent for agent in found if agent]


def has_record(agent_id: str) -> Operation[bool]:
    """Return whether there is a record of an agent, readable or not."""
    return command("EXISTS", keys.agent(agent_id), decode=bool, is_batched=True)


def find_tasks(task_ids: Sequence[str]) -> Operation[tuple[TaskState | None, ...]]:
    """Read the states of some tasks; None for what cannot be read."""
    return read_records(TaskState, tuple(map(keys.task, task_ids)))


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

    return replace(found, decode=decode)
