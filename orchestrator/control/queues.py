"""The pauses of queues: workers of a paused queue finish active work and receive no messages."""

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
    """Sets and lifts the pause of each queue; every worker reads it once a second."""

    audit: Audit
    clock: Callable[[], datetime]

    def pause(self, queue: str, by: str, why: str) -> Flow[None]:
        """Pause a queue until `resume`, even over restarts, and append to the audit.

        Raises:
            NotFound: there is no such queue.
        """
        yield queues.set_pause(queues.check_name(queue), Pause(by=by, why=why, at=self.clock()))
        note = AuditAction(action="pause-queue", who=by, why=why, scope=f"queue {queue}")
        yield from self.audit.report([note])

    def resume(self, queue: str, by: str, why: str) -> Flow[bool]:
        """Resume a queue and append to the audit; return whether it was paused.

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
