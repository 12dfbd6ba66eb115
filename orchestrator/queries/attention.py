"""The rules of attention: what an agent waits for, why it failed, and if an operator must act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orchestrator.models import AgentState, BudgetLimits, Halt, NotSaved, Pause, Status
from orchestrator.models.attention import Acknowledgement, Attention, Rank, WaitingFor
from orchestrator.models.state_machine import AWAITING_SPAWN, FINAL, PHASES

#: An agent with so many recoveries needs attention.
MANY_RECOVERIES = 3
#: At most so many retained commits are named in one line.
_MOST_REFS = 5
#: The share of its tokens or its time from which an agent is at risk.
NEAR_LIMIT = 0.8
#: A kill is confirmed within this; usually it takes one or two seconds.
CONFIRMED_WITHIN = timedelta(seconds=10)
#: Error code → the command that shows the cause or takes the next step.
_COMMANDS = {
    "gates_rejected": "orch gates {id}",
    "plan_invalid": "orch gates {id}",
    "plan_unrunnable": "orch gates {id}",
    "environment_failed": "orch logs {id}",
    "change_conflicts": "orch export {id}",
    "branch_blocked": "orch retry {id}",
    "push_refused": "orch export {id}",
    "push_failed": "orch retry {id}",
    "target_moves": "orch retry {id}",
    "lease_lost": "orch retry {id}",
    "budget_exceeded": "orch budget",
    **dict.fromkeys(
        (
            *("coordinator_unavailable", "coordinator_refused", "backend_unavailable"),
            *("backend_unknown", "disk_full", "sandbox_unavailable", "egress_unavailable"),
            *("usage_reports_missing", "agent_garbled", "host_exhausted"),
        ),
        "orch doctor",
    ),
}


@dataclass(frozen=True)
class AttentionContext:
    """The facts for the rules that are not in the agent's own record."""

    halt: Halt | None = None
    #: Paused queues, by name.
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    #: The instant before which none of its backends and models starts an agent.
    limited_until: datetime | None = None
    limits: BudgetLimits | None = None
    is_unconfirmed: bool = False
    #: Whether it has a retained change.
    has_change: bool = False
    #: The agent that serves its task now; empty if unknown.
    newest: str = ""
    #: The instant at which a delayed agent's message is sent.
    due_at: datetime | None = None
    #: Its number among the agents that wait for a slot; None if it does not wait for one.
    rank_for_slot: int | None = None
    #: The number of its message in its queue, from 1; None if it is not near the front.
    place_in_queue: int | None = None
    #: Who acknowledged a reason of it, and which.
    acknowledged: Acknowledgement | None = None
    #: Whether any worker serves the queue of the agent; None if not checked.
    has_worker: bool | None = None


def explain(agent: AgentState, around: AttentionContext, now: datetime) -> Attention:
    """Return the reason for the agent's present state and the command that helps.

    The result has a rank only if the agent needs attention, and nobody acknowledged this reason.
    """
    found = _explain(agent, around, now)
    seen = around.acknowledged
    # A process that may still run is no reason to put aside.
    if seen is None or found.rank in {None, Rank.UNCONFIRMED} or seen.code != found.code:
        return found
    return found.model_copy(update={"rank": None, "acknowledged": seen})


def _explain(agent: AgentState, around: AttentionContext, now: datetime) -> Attention:
    if around.is_unconfirmed:
        return _of_unconfirmed(agent, now)
    if agent.status is Status.FAILED:
        return _of_failed(agent, around)
    if agent.status is Status.COMPLETED:
        return _of_completed(agent, around)
    if agent.status in FINAL:
        why = agent.error or "It was killed."
        return Attention(code="killed", why=why, command=f"orch receipt {agent.agent_id}")
    risk, waiting = _at_risk(agent, around, now), _of_waiting(agent, around, now)
    if risk is None or waiting is None:
        return risk or waiting or _of_working(agent)
    return risk.model_copy(
        update={
            "why": f"{risk.why}; {waiting.why}",
            "waiting_for": waiting.waiting_for,
            "place_in_line": waiting.place_in_line,
        }
    )


# ── ended ───────────────────────────────────────────────────────────────────────────────────


def _of_unconfirmed(agent: AgentState, now: datetime) -> Attention:
    where = agent.worker or "no worker"
    is_late = agent.completed_at is None or now - agent.completed_at >= CONFIRMED_WITHIN
    return Attention(
        rank=Rank.UNCONFIRMED if is_late else None,
        code="kill_unconfirmed",
        why=f"its death is not confirmed ({where})",
        command=f"orch receipt {agent.agent_id}",
    )


def _of_failed(agent: AgentState, around: AttentionContext) -> Attention:
    code, name = agent.error_code or "failed", agent.agent_id
    # Only the first sentence is the cause; the next ones name an action, as `command` does here.
    cause = (agent.error or "no reason given").partition(". ")[0].rstrip(".")
    why = f"{code}: {cause}"
    if code == "gates_rejected":
        gates = agent.verdict.gates if agent.verdict else {}
        failed = [gate for gate, status in gates.items() if not status.is_pass]
        why = f"rejected by {', '.join(failed)}" if failed else "rejected"
    if around.has_change:
        why += "; its work is kept"
    if agent.not_saved:
        why += f"; {_unsaved(agent.not_saved)}"
    if around.newest not in {"", name}:
        # A later agent serves the task, so this failure needs no attention.
        why += f"; agent {around.newest} serves its task now"
        return Attention(code=code, why=why, command=f"orch status {around.newest}")
    look = "orch diff {id}" if around.has_change else "orch logs {id}"
    command = _COMMANDS.get(code, look).format(id=name)
    rank = Rank.OVER_BUDGET if code == "budget_exceeded" else Rank.FAILED
    return Attention(rank=rank, code=code, why=why, command=command)


def _unsaved(unsaved: NotSaved) -> str:
    return f"work of attempt {unsaved.attempt} is not stored: {unsaved.host}:{unsaved.path}"


def _of_completed(agent: AgentState, around: AttentionContext) -> Attention:
    name, rank = agent.agent_id, Rank.DELIVERED
    if around.newest not in {"", name}:
        why = f"completed; agent {around.newest} serves its task now"
        return Attention(code="completed", why=why, command=f"orch status {around.newest}")
    if agent.conflicts:
        files = ", ".join(conflict.path for conflict in agent.conflicts)
        why = f"pushed, but conflicts with {agent.base_branch}: {files}"
        return Attention(rank=rank, code="conflicts", why=why, command=f"orch diff {name}")
    if agent.request_error:
        why = f"pushed without a request: {agent.request_error}"
        return Attention(rank=rank, code="request_missing", why=why, command=f"orch status {name}")
    # Earlier versions in the agent's own commits are no other work.
    retained = [one for one in agent.retained or () if one.kind != "checkpoint"]
    if retained:
        refs = ", ".join(one.ref for one in retained[:_MOST_REFS])
        why = f"pushed, but commits are outside the change: {refs}"
        return Attention(rank=rank, code="retained", why=why, command=f"orch diff {name}")
    if agent.not_saved:
        why = _unsaved(agent.not_saved)
        return Attention(rank=rank, code="not_saved", why=why, command=f"orch status {name}")
    pushed = f": its change is on {agent.branch}" if agent.branch else ""
    return Attention(code="completed", why=f"completed{pushed}", command=f"orch diff {name}")


# ── active ──────────────────────────────────────────────────────────────────────────────────


def _at_risk(agent: AgentState, around: AttentionContext, now: datetime) -> Attention | None:
    name = agent.agent_id
    if agent.stalled_since and PHASES[agent.phase].is_held:
        minutes = (now - agent.stalled_since).total_seconds() / 60
        why = f"stalled for {minutes:.0f} min"
        return Attention(rank=Rank.STALLED, code="stalled", why=why, command=f"orch logs -f {name}")
    if (limits := around.limits) is not None:
        spent, ran_s = agent.usage.total_tokens, agent.ran_s
        if spent >= limits.agent_tokens * NEAR_LIMIT:
            why = f"has spent {spent:,} of its {limits.agent_tokens:,} tokens"
            command = "orch budget set agent …"
            return Attention(rank=Rank.AT_RISK, code="near_tokens", why=why, command=command)
        cost = agent.usage.cost_usd or 0.0
        dollars = [one for one in (limits.agent_usd, agent.max_cost_usd) if one is not None]
        if dollars and cost >= min(dollars) * NEAR_LIMIT:
            why = f"has cost ${cost:.2f} of its ${min(dollars):.2f}"
            command = "orch budget set agentUsd …"
            return Attention(rank=Rank.AT_RISK, code="near_dollars", why=why, command=command)
        if ran_s >= limits.time_s * NEAR_LIMIT:
            why = f"has run for {ran_s / 60:.0f} of its {limits.time_s / 60:.0f} min"
            command = "orch budget set time …"
            return Attention(rank=Rank.AT_RISK, code="near_time", why=why, command=command)
    if agent.recoveries >= MANY_RECOVERIES:
        why = f"was lost {agent.recoveries} times"
        return Attention(
            rank=Rank.AT_RISK, code="lost_often", why=why, command=f"orch inspect {name}"
        )
    return None


def _of_waiting(agent: AgentState, around: AttentionContext, now: datetime) -> Attention | None:
    if not PHASES[agent.phase].is_waiting:
        return None
    found = _held_up(agent, around, now)
    if found is not None:
        return found
    name, queue = agent.agent_id, PHASES[agent.phase].queue
    if around.due_at is not None and around.due_at > now:
        why = f"its next attempt starts at {around.due_at:%H:%M:%S} UTC"
        return Attention(
            code="delayed",
            why=why,
            command=f"orch inspect {name}",
            waiting_for=WaitingFor.RETRY,
        )
    if around.rank_for_slot is not None:
        slots = f"all {around.limits.concurrency} slots are" if around.limits else "every slot is"
        return Attention(
            code="no_slot_free",
            why=f"{slots} in use; it is number {around.rank_for_slot} in line",
            command="orch budget set concurrency …",
            waiting_for=WaitingFor.SLOT,
            place_in_line=around.rank_for_slot,
        )
    if around.has_worker is False:
        why = f"no worker serves the queue {queue}"
        return Attention(
            code="no_worker", why=why, command="orch doctor", waiting_for=WaitingFor.WORKER
        )
    place = around.place_in_queue
    number = f"; it is number {place} in line" if place else ""
    return Attention(
        code="queued",
        why=f"waits for a worker of the queue {queue}{number}",
        command=f"orch wait {name}",
        waiting_for=WaitingFor.WORKER,
        place_in_line=place,
    )


def _held_up(agent: AgentState, around: AttentionContext, now: datetime) -> Attention | None:
    name, queue = agent.agent_id, PHASES[agent.phase].queue
    awaits_spawn = agent.phase in AWAITING_SPAWN
    if around.halt and awaits_spawn:
        why = f"halted by {around.halt.by}: {around.halt.why or 'no reason'}"
        return Attention(
            rank=Rank.HELD_UP,
            code="halted",
            why=why,
            command="orch resume --reason …",
            waiting_for=WaitingFor.RESUME,
        )
    if pause := around.pauses.get(queue):
        why = f"the queue {queue} is paused by {pause.by}: {pause.why or 'no reason'}"
        return Attention(
            rank=Rank.HELD_UP,
            code="queue_paused",
            why=why,
            command=f"orch queues resume {queue}",
            waiting_for=WaitingFor.QUEUE,
        )
    if not awaits_spawn:
        return None
    if around.limited_until and around.limited_until > now:
        until = f"{around.limited_until:%H:%M} UTC"
        why = f"{agent.current.name}'s provider is at its limit until {until}"
        if len(agent.all_choices) > 1:
            names = ", ".join(choice.name for choice in agent.all_choices)
            why = f"the providers of {names} are at their limits, the first until {until}"
        return Attention(
            rank=Rank.LIMITED,
            code="provider_limited",
            why=why,
            command=f"orch wait {name}",
            waiting_for=WaitingFor.PROVIDER,
        )
    if agent.waiting_for:
        return Attention(
            rank=Rank.HELD_UP,
            code="disk_low",
            why=agent.waiting_for,
            command="orch doctor",
            waiting_for=WaitingFor.DISK,
        )
    return None


def _of_working(agent: AgentState) -> Attention:
    where = f" at {agent.worker}" if agent.worker else ""
    return Attention(
        code=agent.phase,
        why=f"{PHASES[agent.phase].label.lower()}{where}, attempt {agent.attempt}",
        command=f"orch logs -f {agent.agent_id}",
    )
