"""The one front door: a request becomes a registered agent and its message, in one step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from orchestrator.errors import (
    ChangeMissing,
    OrchestratorError,
    RequestInvalid,
    TransitionRefused,
)
from orchestrator.gates.profiles import profiles
from orchestrator.messages import result_frame, result_key
from orchestrator.models import (
    AgentState,
    AuditAction,
    LifecycleEvent,
    Outcome,
    SpawnRequest,
    Status,
)
from orchestrator.models.identifiers import AGENT_ID
from orchestrator.models.state_machine import FINAL
from orchestrator.store import agents, changes, keys
from orchestrator.store.events import EVENTS_CAP
from orchestrator.store.operations import Flow, Operation, call, nothing
from orchestrator.store.registration import (
    Submitted,
    submission,
)
from orchestrator.store.transition import RESULT_TTL_S


@dataclass(frozen=True)
class SubmitService:
    """Takes requests in, whichever way they came: HTTP, CLI, or a raw message of the broker."""

    default_agent: str
    agents: frozenset[str]
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def submit(
        self,
        document: object,
        *,
        agent_id: str = "",
        priority: int | None = None,
        idempotency_key: str = "",
        by: str = "",
    ) -> Operation[Submitted]:
        """Check a request and return the operation that registers and enqueues it.

        `agent_id` is given where the caller has already named the agent (a raw message is named
        by its Celery id), `priority` where the request itself carries none. `by` stands in the
        audit, and the idempotency key is remembered for this caller only.

        Raises:
            RequestInvalid: with every fault and its path.
        """
        request = SpawnRequest.parse(document)
        if agent_id and not AGENT_ID.fullmatch(agent_id):
            raise RequestInvalid((("task_id", "must consist of letters, digits, - and _"),))
        if request.agent is not None and request.agent not in self.agents:
            known = ", ".join(sorted(self.agents))
            raise RequestInvalid((("agent", f"must be one of {known}"),))
        if unknown := set(request.gates) - profiles().gates.keys():
            known = ", ".join(profiles().gates)
            fault = f"there is no gate {min(unknown)!r}, only {known}"
            raise RequestInvalid((("gates", fault),))
        if priority is not None and "priority" not in request.model_fields_set:
            request = request.model_copy(update={"priority": priority})
        agent_id = agent_id or self.new_id()
        context = request.context
        note = AuditAction(
            action="spawn",
            who=by,
            why="",
            agent_id=agent_id,
            task_id=request.task_id,
            scope=f"{context.repository} {context.branch}",
        )
        return submission(
            request,
            agent_id=agent_id,
            agent=request.agent or self.default_agent,
            now=self.clock(),
            tag=self.new_id(),
            note=note,
            idempotency_key=idempotency_key,
        )

    def retry(
        self, agent_id: str, *, is_afresh: bool, kept_for_s: float, by: str, why: str
    ) -> Flow[Submitted]:
        """Spawn the request of an ended agent again, going on from its newest change if kept.

        `by` and `why` stand in the audit.

        Raises:
            NotFound: there is no such agent.
            TransitionRefused: it has not ended, or has completed.
            Halted: no new work is admitted.
            BudgetExhausted: today's tokens do not hold what it reserves.
        """
        agent: AgentState = yield agents.read(agent_id)
        request: SpawnRequest = yield agents.read_request(agent_id)
        if agent.status not in FINAL or agent.status is Status.COMPLETED:
            msg = f"Agent {agent_id} is {agent.status}: only what failed or was killed is retried."
            raise TransitionRefused(msg)
        new_id = self.new_id()
        start: dict[str, object] = {}
        if not is_afresh and agent.base_commit:
            try:
                _, bundle = yield from changes.newest_change(agent_id, agent.attempt)
            except ChangeMissing:
                start = {}
            else:
                # As if its attempt 0 had been rejected: the first round goes on from there.
                yield changes.save_change(new_id, 0, bundle, for_s=kept_for_s)
                start = {"base_commit": agent.base_commit, "continues_attempt": 0}
        submitted: Submitted = yield submission(
            request,
            agent_id=new_id,
            agent=agent.agent,
            now=self.clock(),
            tag=self.new_id(),
            note=AuditAction(
                action="retry", who=by, why=why, agent_id=agent_id, result=f"agent {new_id}"
            ),
            start=start,
        )
        return submitted

    def refuse(self, agent_id: str, error: OrchestratorError) -> Operation[None]:
        """Tell a client that knows only Celery that its request was refused: result and event."""
        now = self.clock()
        facts = {"agent_id": agent_id, "status": Status.FAILED, "error": str(error)}
        outcome = Outcome(**facts, error_code=error.code)
        event = LifecycleEvent(**facts, error_code=error.code, type="agent.failed", timestamp=now)
        before, after = result_frame(agent_id, now)
        document = json.dumps(outcome.model_dump(mode="json", by_alias=True))
        return call(
            "refuse",
            (keys.agent(agent_id), result_key(agent_id), keys.EVENTS_STREAM),
            (
                f"{before}{document}{after}",
                RESULT_TTL_S,
                json.dumps(event.wire()),
                keys.EVENTS_CHANNEL,
                EVENTS_CAP,
            ),
            nothing,
        )
