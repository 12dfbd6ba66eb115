"""Removes all that is stored of one agent."""

from __future__ import annotations

from orchestrator.models import Status
from orchestrator.store import agent_index, agents, changes, keys, kills, lost_messages
from orchestrator.store.agent_outlines import read_partial_records
from orchestrator.store.operations import Flow, command, nothing
from orchestrator.store.sessions import drop_sessions


def remove_agent(agent_id: str, status: Status) -> Flow[None]:
    """Remove every trace of an ended agent; its task too, if no later agent serves that."""
    (agent,) = yield read_partial_records(agent_id)
    if agent is not None:
        yield from drop_sessions(agent_id, agent.attempt)
        yield from changes.drop_changes(agent_id, agent.attempt)
        (task,) = yield agents.find_tasks((agent.task_id,))
        if task is not None and task.agent_id == agent_id:
            yield command("UNLINK", keys.task(agent.task_id), decode=nothing)
        yield agent_index.remove_from_task(agent_id, agent.task_id)
    names = (
        *(keys.agent, keys.request, keys.log, keys.reports, keys.receipt),
        *(keys.acknowledgement, keys.trail),
    )
    yield command("UNLINK", *(name(agent_id) for name in names), decode=nothing)
    yield kills.drop_unconfirmed(agent_id)
    yield lost_messages.await_no_message(agent_id)
    yield agent_index.unlist(status, agent_id)
    yield agent_index.remove(agent_id)
    # Last: what is not yet removed is found again by this index.
    yield agent_index.remove_from(status, agent_id)
