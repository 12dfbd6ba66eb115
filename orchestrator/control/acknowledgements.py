"""Acknowledging that an agent needs attention: it is listed no more until its reason changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.audit.log import Audit
from orchestrator.errors import TransitionRefused
from orchestrator.models import AuditAction
from orchestrator.models.attention import Acknowledgement, Rank
from orchestrator.queries.explanations import explain_one
from orchestrator.settings import Settings
from orchestrator.store import acknowledgements
from orchestrator.store.operations import Flow


@dataclass(frozen=True)
class Acknowledgements:
    """Acknowledges the reasons of agents, and withdraws that; its flows run on each executor."""

    settings: Settings
    audit: Audit
    clock: Callable[[], datetime]

    def acknowledge(
        self, agent_id: str, *, by: str, why: str, for_s: float | None = None
    ) -> Flow[Acknowledgement]:
        """Acknowledge the present reason of an agent, for a time or until retention ends.

        Raises:
            NotFound: there is no such agent.
            TransitionRefused: it needs no attention, or a process of it may still run.
        """
        found = yield from explain_one(agent_id, self.settings, self.clock())
        if found.rank is None and found.acknowledged is None:
            msg = f"Agent {agent_id} needs no attention."
            raise TransitionRefused(msg, action="Nothing has changed.")
        if found.rank is Rank.UNCONFIRMED:
            msg = f"A process of agent {agent_id} may still run."
            action = f"See `orch receipt {agent_id}`: an unconfirmed kill cannot be acknowledged."
            raise TransitionRefused(msg, action=action)
        now = self.clock()
        until = None if for_s is None else now + timedelta(seconds=for_s)
        made = Acknowledgement(code=found.code, by=by, why=why, at=now, until=until)
        lifetime_s = self.settings.retention_s if for_s is None else for_s
        yield acknowledgements.put(agent_id, made, for_s=lifetime_s)
        note = AuditAction(
            action="acknowledge", who=by, why=why, agent_id=agent_id, before=found.code,
            result=None if for_s is None else f"for {for_s:g} s",
        )  # fmt: skip
        yield from self.audit.report([note])
        return made

    def withdraw(self, agent_id: str, *, by: str, why: str) -> Flow[bool]:
        """Withdraw an acknowledgement; return whether there was one."""
        was_there: bool = yield acknowledgements.drop(agent_id)
        if was_there:
            note = AuditAction(
                action="acknowledge", who=by, why=why, agent_id=agent_id, result="withdrawn"
            )
            yield from self.audit.report([note])
        return was_there
