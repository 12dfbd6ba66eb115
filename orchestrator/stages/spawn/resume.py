"""What one round of an agent hands to the next: its change, its session, its rejection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.gates.feedback import feedback
from orchestrator.gates.profiles import SECRETS
from orchestrator.models import AgentState
from orchestrator.store import changes, sessions
from orchestrator.store.operations import Flow

_TAKEN_OVER = (
    "Somebody worked on this before you and was interrupted. What had been changed stands in the"
    " worktree already: look at it first, then go on."
)


@dataclass(frozen=True)
class ResumePoint:
    """What a round starts from; the first one starts from nothing."""

    change: bytes | None = None
    #: Its commits may not leave, so the round starts from its tree, uncommitted on the base.
    is_uncommitted: bool = False
    feedback: str | None = None
    session: Mapping[str, Sequence[str]] = field(default_factory=dict)


def resume_point(agent: AgentState) -> Flow[ResumePoint]:
    """Read what the round before this attempt left.

    Raises:
        ChangeMissing: its change is gone.
    """
    before = agent.continues_attempt
    if before is None:
        return ResumePoint()
    change = yield changes.get_change(agent.agent_id, before)
    reports = yield changes.read_reports(agent.agent_id)
    session: Mapping[str, Sequence[str]] = {}
    if agent.session_id:
        session = yield from sessions.recall_session(agent.agent_id, before, agent.session_id)
    rounds_left = agent.max_retries - agent.rounds + 1
    was_judged = bool(reports) and reports[-1].attempt >= before
    said = feedback(reports[-1], agent.rounds, rounds_left) if was_judged else _TAKEN_OVER
    was_leaking = was_judged and any(gate.name == SECRETS for gate in reports[-1].gates)
    return ResumePoint(change, was_leaking, said, session)
