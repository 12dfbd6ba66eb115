"""What an agent's state says of work that could not be stored."""

from __future__ import annotations

from datetime import datetime

from orchestrator.models import AgentState, NotSaved, Status
from orchestrator.models.warning import AgentWarning, WarningCode
from orchestrator.store.operations import Operation
from orchestrator.store.transition import Move, Moved, move


def report_unsaved(
    agent: AgentState, unsaved: NotSaved | None, *, now: datetime
) -> Operation[Moved]:
    """Say where an agent's unsaved work stands, with a warning; with None, that it is stored now.

    Its status stays as it is, an ended one too. Not for an agent that waits: a move would end that.
    """
    step = Move(
        sources=tuple(Status),
        phases=(agent.phase,),
        attempt=agent.attempt,
        patch={"notSaved": unsaved.wire() if unsaved else None},
        event="agent.warning" if unsaved else "",
        warning=_warning(unsaved) if unsaved else None,
    )
    return move(agent, step, now=now)


def _warning(unsaved: NotSaved) -> AgentWarning:
    text = (
        f"{unsaved.reason} The work is in {unsaved.host}:{unsaved.path}. Storing it is tried again;"
        " take it from there, or remove the cause."
    )
    return AgentWarning(code=WarningCode.CHANGE_NOT_SAVED, text=text)
