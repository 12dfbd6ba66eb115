"""The cleanup stage: removes the workspace, candidates and working keys of an ended agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.errors import NotFound, OrchestratorError, TransitionRefused
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.maintenance.work_saver import WorkSaver
from orchestrator.models import AgentState
from orchestrator.store import agent_transitions, agents, changes, kills
from orchestrator.store.sessions import drop_sessions
from orchestrator.workspace.change import Candidates

log = get_logger("cleanup")


@dataclass(frozen=True)
class StepReport:
    """The result of one step; `removed` counts bytes or keys, `error` is empty after success."""

    step: str
    removed: int = 0
    error: str = ""


@dataclass(frozen=True)
class Cleanup:
    """Runs the cleanup of one agent; every step is safe to repeat."""

    holder: AgentLeases
    work_saver: WorkSaver
    candidates: Candidates
    retention_s: float

    def run(self, agent_id: str) -> tuple[StepReport, ...]:
        """Remove the data of an ended agent and publish an `agent.cleanup` event.

        Every step runs even if an earlier step failed. Touches: the agent's record, sessions,
        changes and receipt. An unknown agent gives no reports.
        """
        try:
            agent = self.holder.store.run(agents.read(agent_id))
        except NotFound as error:
            log.info("message dropped", agentId=agent_id, reason=str(error))
            return ()
        reports = (
            _attempt("workspace", lambda: self.work_saver.remove(agent_id)),
            _attempt("candidates", lambda: self.candidates.remove(agent_id)),
            _attempt("keys", lambda: self._drop_keys(agent)),
            _attempt("event", lambda: self._announce(agent)),
        )
        log.info("cleaned", agentId=agent_id, steps=[report.__dict__ for report in reports])
        return reports

    def _drop_keys(self, agent: AgentState) -> int:
        store, agent_id, attempts = self.holder.store, agent.agent_id, agent.attempt
        dropped = store.follow(drop_sessions(agent_id, attempts))
        receipt = store.run(kills.find_receipt(agent_id))
        is_discarded = receipt is not None and receipt.discard
        if (agent.branch is None or agent.retained) and not is_discarded:
            # Some of the change is on no remote, so it is retained until the retention ends.
            store.follow(changes.keep_changes(agent_id, attempts, for_s=self.retention_s))
            return dropped
        return dropped + store.follow(changes.drop_changes(agent_id, attempts))

    def _announce(self, agent: AgentState) -> int:
        try:
            self.holder.store.run(agent_transitions.cleaned(agent, now=self.holder.clock()))
        except TransitionRefused:
            return 0  # an earlier cleanup has published the event
        return 1


def _attempt(step: str, action: Callable[[], int]) -> StepReport:
    try:
        return StepReport(step, removed=action())
    except (OrchestratorError, OSError) as error:
        log.warning("step failed", step=step, error=str(error))
        return StepReport(step, error=str(error))
