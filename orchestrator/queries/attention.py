"""Which agents need somebody, why, and the command that helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.models import AgentState, GateStatus, Halt, Phase, Status
from orchestrator.models.state_machine import ACTIVE
from orchestrator.store import agent_index, changes, kills, provider_limits
from orchestrator.store import agents as stored_agents
from orchestrator.store import halt as halts
from orchestrator.store.operations import Flow

#: What has been lost so often is not bad luck.
MANY_RECOVERIES = 3
_LIMIT = 500


@dataclass(frozen=True)
class Need:
    """Why an agent needs somebody, in words, and what to run; the first to look at have rank 0."""

    rank: int
    why: str
    command: str


@dataclass(frozen=True)
class AttentionContext:
    """What an agent's own record does not say."""

    halt: Halt | None = None
    #: The instant (ms) before which its backend starts no agent; 0 if it does.
    parked_until_ms: int = 0
    is_unconfirmed: bool = False
    #: What it changed stands on no remote, and is kept here.
    is_kept: bool = False
    #: A later agent serves its task.
    is_superseded: bool = False


def need(agent: AgentState, around: AttentionContext, now: datetime) -> Need | None:
    """Tell what an agent needs; None if it can be left alone."""
    name = agent.agent_id
    if around.is_unconfirmed:
        where = agent.worker or "no worker"
        return Need(0, f"its death is not confirmed ({where})", f"orch receipt {name}")
    if agent.status is Status.FAILED and not around.is_superseded:
        return _need_of_failed(agent, is_kept=around.is_kept)
    if agent.status is Status.COMPLETED:
        return _need_of_completed(agent)
    if agent.status in ACTIVE:
        return _need_of_active(agent, around, now)
    return None


def _need_of_failed(agent: AgentState, *, is_kept: bool) -> Need:
    name = agent.agent_id
    kept = "; its work is kept" if is_kept else ""
    if agent.error_code == "gates_rejected":
        gates = agent.verdict.gates if agent.verdict else {}
        failed = [gate for gate, status in gates.items() if status is not GateStatus.PASSED]
        which = f" by {', '.join(failed)}" if failed else ""
        return Need(1, f"rejected{which}{kept}", f"orch gates {name}")
    # The first sentence: what to do, which comes after it, is the command here.
    cause = (agent.error or "no reason given").partition(". ")[0].rstrip(".")
    look = "diff" if is_kept else "logs"
    return Need(1, f"{agent.error_code or 'failed'}: {cause}{kept}", f"orch {look} {name}")


def _need_of_completed(agent: AgentState) -> Need | None:
    name = agent.agent_id
    if agent.conflicts:
        files = ", ".join(conflict.path for conflict in agent.conflicts)
        return Need(
            3, f"pushed, but conflicts with {agent.base_branch}: {files}", f"orch diff {name}"
        )
    if agent.request_error:
        return Need(3, f"pushed without a request: {agent.request_error}", f"orch status {name}")
    return None


def _need_of_active(agent: AgentState, around: AttentionContext, now: datetime) -> Need | None:
    name = agent.agent_id
    if agent.stalled_since:
        minutes = (now - agent.stalled_since).total_seconds() / 60
        return Need(1, f"stalled for {minutes:.0f} min", f"orch logs -f {name}")
    if agent.recoveries >= MANY_RECOVERIES:
        return Need(2, f"was lost {agent.recoveries} times", f"orch inspect {name}")
    if agent.phase not in (Phase.QUEUED, Phase.AWAITING_REWORK):
        return None
    if around.halt:
        return Need(
            2,
            f"halted by {around.halt.by}: {around.halt.why or 'no reason'}",
            "orch resume --reason …",
        )
    if around.parked_until_ms > now.timestamp() * 1000:
        until = datetime.fromtimestamp(around.parked_until_ms / 1000, UTC)
        return Need(
            4,
            f"{agent.agent}'s provider is at its limit until {until:%H:%M} UTC",
            f"orch wait {name}",
        )
    return None


def needs(agents: Sequence[AgentState], now: datetime) -> Flow[dict[str, Need]]:
    """Look at what surrounds these agents, and tell what each of them needs, by agentId."""
    halt = yield halts.find_halt()
    unconfirmed = set((yield kills.unconfirmed()))
    parked = {}
    for backend in {agent.agent for agent in agents if agent.status in ACTIVE}:
        parked[backend] = yield provider_limits.limited_until_ms(backend)
    failed = [agent for agent in agents if agent.status is Status.FAILED]
    latest: dict[str, str] = {}
    if failed:
        tasks = yield stored_agents.find_tasks(tuple(agent.task_id for agent in failed))
        latest = {task.task_id: task.agent_id for task in tasks if task}
    found: dict[str, Need] = {}
    for agent in agents:
        name = agent.agent_id
        is_superseded = latest.get(agent.task_id, name) != name
        is_kept = False
        if agent.status is Status.FAILED and not is_superseded:
            is_kept = yield changes.has_any_change(name, agent.attempt)
        around = AttentionContext(
            halt, parked.get(agent.agent, 0), name in unconfirmed, is_kept, is_superseded
        )
        if one := need(agent, around, now):
            found[name] = one
    return found


def candidates() -> Flow[tuple[AgentState, ...]]:
    """Read every agent that may need somebody, however old; newest first."""
    ids = set((yield kills.unconfirmed()))
    for status in (*sorted(ACTIVE), Status.FAILED):
        ids |= set((yield agent_index.newest(status, limit=_LIMIT)))
    found = yield from stored_agents.read_each(sorted(ids))
    return tuple(sorted(found, key=lambda agent: agent.spawned_at, reverse=True))
