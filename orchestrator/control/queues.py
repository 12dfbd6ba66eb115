"""Pauses and resumes queues, on the audit: active work finishes, messages stay where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.audit.log import Audit
from orchestrator.models import AuditAction, Pause
from orchestrator.store import queues
from orchestrator.store.operations import Flow


@dataclass(frozen=True)
class QueuePauses:
    """The switch of each queue; every worker looks at it once a second."""

    audit: Audit
    clock: Callable[[], datetime]

    def pause(self, queue: str, by: str, why: str) -> Flow[None]:
        """Let no worker take from a queue until `resume`, restarts included.

        Raises:
            NotFound: there is no such queue.
        """
        yield queues.set_pause(queues.check_name(queue), Pause(by=by, why=why, at=self.clock()))
        note = AuditAction(action="pause-queue", who=by, why=why, scope=f"queue {queue}")
        yield from self.audit.report([note])

    def resume(self, queue: str, by: str, why: str) -> Flow[bool]:
        """Let workers take from a queue again; returns whether it was paused.

        Raises:
            NotFound: there is no such queue.
        """
        was_paused: bool = yield queues.lift_pause(queues.check_name(queue))
        note = AuditAction(
            action="resume-queue",
            who=by,
            why=why,
            scope=f"queue {queue}",
            before="paused" if was_paused else "not paused",
        )
        yield from self.audit.report([note])
        return was_paused
