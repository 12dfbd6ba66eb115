"""Compares the agents that wait for a message with the queues, the delays and their index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial

from orchestrator.maintenance.drift import Drift
from orchestrator.models import AgentState
from orchestrator.models.state_machine import AWAITING_MESSAGE, WAITING
from orchestrator.store import agent_transitions, delays, kills, lost_messages
from orchestrator.store.client import Store


def message_drifts(
    store: Store,
    states: Mapping[str, AgentState | None],
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> Iterator[Drift]:
    """Yield what is inconsistent in the messages of these agents."""
    delayed = store.run(delays.delayed())
    uncalled = store.run(delays.uncalled())
    queued = store.follow(lost_messages.queued())
    awaiting = {*store.run(lost_messages.awaiting())}
    for agent_id in sorted(awaiting):
        agent = states.get(agent_id)
        if agent is None or agent.phase not in AWAITING_MESSAGE:
            yield Drift(
                "message-unawaited",
                agent_id,
                f"it counts as one that awaits a message, and is"
                f" {agent.phase if agent else 'gone'}",
                partial(store.run, lost_messages.await_no_message(agent_id)),
            )
    for agent_id in sorted(delayed):
        agent = states.get(agent_id)
        if agent is None or agent.phase not in WAITING:
            yield Drift(
                "orphaned-delay",
                agent_id,
                "it is delayed, and does not wait",
                partial(store.run, delays.forget(agent_id)),
            )
    for agent_id, agent in states.items():
        if agent is None or agent_id in delayed or agent_id in uncalled:
            continue
        if agent.phase not in AWAITING_MESSAGE:
            continue
        message = agent_transitions.message_of(agent)
        if message.task_id not in queued:
            yield Drift(
                "message-missing",
                agent_id,
                f"it is {agent.phase}, and no queue has its message",
                partial(
                    store.run,
                    kills.enqueue(message, now=clock(), tag=new_id()),
                ),
            )
        if agent_id not in awaiting:
            yield Drift(
                "message-unwatched",
                agent_id,
                f"it is {agent.phase}, and a loss of its message would not be detected",
                partial(store.run, lost_messages.await_message(message, now=clock())),
            )
