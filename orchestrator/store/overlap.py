"""The files that the agents of a repository have touched, and the warnings where two meet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from orchestrator.models import AgentState, LifecycleEvent
from orchestrator.store import keys
from orchestrator.store.events import EVENTS_CAP
from orchestrator.store.operations import Flow, Operation, call, command, nothing

#: Of one agent; as in `lua/touch.lua`, which compares them with those of every other one.
FILES_LIMIT = 200
_TTL_S = 24 * 3600


def touch(agent: AgentState, paths: Iterable[str], *, now: datetime) -> Flow[int]:
    """Record files an agent has changed; events warn both agents of a file that both have changed.

    Returns the number of other agents of which it warned.
    """
    known: list[bytes] = yield command("HKEYS", keys.touched(agent.repository), decode=list)
    others = sorted({name.decode() for name in known} - {agent.agent_id})
    warned: int = yield _touch(agent, paths, others, now=now)
    return warned


def _touch(
    agent: AgentState, paths: Iterable[str], others: Sequence[str], *, now: datetime
) -> Operation[int]:
    event = LifecycleEvent(
        type="agent.overlap",
        timestamp=now,
        agent_id=agent.agent_id,
        task_id=agent.task_id,
        status=agent.status,
        phase=agent.phase,
        attempt=agent.attempt,
    )
    return call(
        "touch",
        {
            "touched": keys.touched(agent.repository),
            "events": keys.EVENTS_STREAM,
            "trail": keys.trail(agent.agent_id),
            "trails": tuple(map(keys.trail, others)),
        },
        (
            agent.agent_id,
            json.dumps(sorted(paths)),
            json.dumps(event.wire()),
            keys.EVENTS_CHANNEL,
            EVENTS_CAP,
            _TTL_S,
            json.dumps(others),
        ),
        int,
    )


def forget(agent: AgentState) -> Operation[None]:
    """Compare other agents with this one no longer."""
    return command("HDEL", keys.touched(agent.repository), agent.agent_id, decode=nothing)
