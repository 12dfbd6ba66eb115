"""The gate-check stage: secret scan, gates, Coordinator check, and delivery of one change."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from orchestrator.audit.log import Audit
from orchestrator.environments.service import Borrower, Environments
from orchestrator.errors import (
    ChangeRefused,
    ChangeTooLarge,
    CoordinatorUnavailable,
    GatesRejected,
    GitFailed,
    TargetMoves,
)
from orchestrator.gates.check_files import is_made
from orchestrator.gates.coordinator import CheckAnswer, CheckRequest, Coordinator
from orchestrator.gates.planning import Planning
from orchestrator.interfaces.environment import Environment
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.attempt_result import AttemptResult, Fail, RequestRework
from orchestrator.log import get_logger
from orchestrator.models import (
    AgentState,
    AuditAction,
    GateReport,
    GateResult,
    GateStatus,
    Verdict,
)
from orchestrator.retry import calculate_backoff_delay
from orchestrator.settings import Settings
from orchestrator.stages.gate_check.context import GateContext
from orchestrator.stages.gate_check.delivery import Delivery
from orchestrator.stages.gate_check.gate_runner import BaseTrees, GateRun, GateRunner, verdict_of
from orchestrator.stages.gate_check.secrets import SecretFindings, without_secrets
from orchestrator.stages.gate_check.unfinished import Unfinished, refusal
from orchestrator.store import agents, changes
from orchestrator.store.operations import Operation
from orchestrator.workspace.change import Candidate, Candidates
from orchestrator.workspace.mirror import Mirrors

#: A change is rebased onto a moved target branch at most so often.
MOST_REBASES = 3
#: Results caused by the base commit's configuration or by the host; no rework can fix them.
_NOT_THE_AGENTS = frozenset({GateStatus.MISSING, GateStatus.ERRORED})

log = get_logger("gates")


@dataclass(frozen=True)
class GateCheckStage:
    """Checks and delivers changes for the gates pool."""

    holder: AgentLeases
    mirrors: Mirrors
    candidates: Candidates
    planning: Planning
    gate_runner: GateRunner
    secrets: SecretFindings
    delivery: Delivery
    audit: Audit
    settings: Settings
    environments: Environments
    coordinator: Coordinator | None = None

    def run(self, agent_id: str, attempt: int) -> None:
        """Claim the attempt and check its change; write every result to the agent's state.

        An attempt that does not wait for its gates is ignored.
        """
        agent = self.holder.claim_for_gates(agent_id, attempt)
        if agent is None:
            return
        with self.holder.holding(agent) as lease:
            store = self.holder.store
            request = store.run(agents.read_request(agent_id))
            made_by = agent.change_attempt or attempt
            bundle = store.follow(changes.get_change(agent_id, made_by), check=lease.check)
            # Gates use the agent's own base commit, since the branch may have moved.
            base = self.mirrors.at(agent.repository, agent.base_branch, agent.base_commit or "")
            agent = self.planning.with_profile(agent, request, base, self.holder)
            with ExitStack() as stack:
                received = self.candidates.received(base, bundle, agent_id, attempt)
                try:
                    candidate = stack.enter_context(received)
                except (ChangeRefused, ChangeTooLarge) as error:
                    self.holder.apply(agent, self._refused(agent, error))
                    return
                context = GateContext(agent, request, lease, base, candidate)
                stack.enter_context(self.delivery.reporting_kill(agent, candidate))
                self.holder.apply(agent, self._check(context))

    def _refused(self, agent: AgentState, error: GitFailed) -> RequestRework | Fail:
        """Request rework of a change that git refuses; without a rework round left fail."""
        report = refusal(agent, error)
        self.holder.store.run(_recorded(report, agent))
        rejected = _rejected(agent, report, Verdict.of(report))
        return Fail(error, rejected.facts) if isinstance(rejected, Fail) else rejected

    def _check(self, context: GateContext) -> AttemptResult:
        """Return the result of the attempt: rework, failure, or the delivered change.

        Raises:
            TargetMoves: the target branch moved after the gates, more often than `MOST_REBASES`.
        """
        # The secret scan is first, because gates send the change to a reviewer and the Coordinator.
        if found := self.secrets.find(context.agent, context.base, context.candidate):
            leaked = self.secrets.report(context.agent, context.candidate, found)
            self.holder.store.run(_recorded(leaked, context.agent))
            return _rejected(context.agent, leaked, Verdict.of(leaked))
        unfinished = Unfinished(self.candidates)
        if left := unfinished.find(context.agent, context.base, context.candidate):
            half_done = unfinished.report(context.agent, context.candidate, left)
            self.holder.store.run(_recorded(half_done, context.agent))
            return _rejected(context.agent, half_done, Verdict.of(half_done))
        for _ in range(MOST_REBASES + 1):
            verdict, report = self._run_gates(context)
            if not verdict.approved:
                return _rejected(context.agent, report, verdict)
            context.lease.check()
            reconciled = self.delivery.reconcile(context.agent, context.base, context.candidate)
            if isinstance(reconciled, Fail):
                return reconciled
            if reconciled.candidate == context.candidate:
                return self.delivery.deliver(context.agent, context.lease, reconciled, verdict)
            # A rebase gives a new tree, on which no gate has run.
            context = replace(context, base=reconciled.base, candidate=reconciled.candidate)
        msg = f"{context.agent.base_branch} moved on {MOST_REBASES} times while its gates ran."
        raise TargetMoves(msg)

    def _run_gates(self, context: GateContext) -> tuple[Verdict, GateReport | None]:
        """Run the gates of the plan on this tree; return the verdict and the last report.

        Touches: the agent's gate reports. With YOLO_MODE no gate runs and there is no report.
        """
        agent, candidate = context.agent, context.candidate
        if self.settings.yolo_mode:
            plan = self.planning.plan(context.request, context.base)
            self._report_yolo(agent, candidate)
            return verdict_of(plan, candidate.tree, (), yolo=True), None
        borrower = Borrower(agent.agent_id, agent.attempt, context.lease.check)
        with self.environments.held(context.base, borrower) as environment:
            return self._run_within(context, environment)

    def _run_within(
        self, context: GateContext, environment: Environment | None
    ) -> tuple[Verdict, GateReport]:
        agent, candidate = context.agent, context.candidate
        plan = self.planning.plan(context.request, context.base).within(environment)
        case = replace(self._gate_run(context), environment=environment)
        reports: list[GateReport] = []
        for checked in self.gate_runner.run(plan, case):
            self._count_tokens(agent, checked)
            report = without_secrets(self._with_coordinator(context, checked))
            self.holder.store.run(_recorded(report, agent))
            reports.append(report)
        return verdict_of(plan, candidate.tree, reports), reports[-1]

    def _count_tokens(self, agent: AgentState, report: GateReport) -> None:
        """Add the tokens of a reviewing agent to the usage of the agent it reviews."""
        for usage in (result.usage for result in report.gates if result.usage):
            now_is = self.holder.store.run(agents.read(agent.agent_id))
            self.holder.update(agent, {"usage": now_is.usage.plus(usage).wire()})

    def _report_yolo(self, agent: AgentState, candidate: Candidate) -> None:
        why = "YOLO_MODE is on"
        log.warning("gates skipped: YOLO_MODE", agentId=agent.agent_id, tree=candidate.tree)
        self.holder.update(agent, {"yolo": True})
        note = AuditAction(
            action="yolo",
            who=self.holder.worker,
            why=why,
            agent_id=agent.agent_id,
            task_id=agent.task_id,
            result=f"tree {candidate.tree} not judged",
        )
        # If the audit cannot be written, the change is not delivered.
        self.holder.store.follow(self.audit.append([note]))

    def _with_coordinator(self, context: GateContext, report: GateReport) -> GateReport:
        """Ask the Coordinator about an approved report; it can reject the change, not approve it.

        Raises:
            CoordinatorUnavailable: the Coordinator was unreachable in every retry of the agent.
            CoordinatorRefused: the response of the Coordinator is invalid.
        """
        if self.coordinator is None or not report.approved:
            return report
        agent, base, candidate = context.agent, context.base, context.candidate
        contents = self.candidates.contents(candidate, base)
        asked = CheckRequest(
            task_id=agent.task_id,
            agent_id=agent.agent_id,
            files=tuple(content.path for content in contents),
            diff_summary=self.candidates.summary(candidate, base),
            stage=report.stage,
            gates=tuple(gate.name for gate in report.gates),
        )
        answer = self._ask(self.coordinator, asked, context)
        result = GateResult(
            name="coordinator",
            status=GateStatus.PASSED if answer.approved else GateStatus.FAILED,
            detail=answer.message or "",
        )
        update = {"gates": (*report.gates, result), "approved": answer.approved}
        return report.model_copy(update=update)

    def _ask(
        self, coordinator: Coordinator, asked: CheckRequest, context: GateContext
    ) -> CheckAnswer:
        agent = context.agent
        for retry in range(1, agent.max_retries + 1):
            try:
                return coordinator.check(asked)
            except CoordinatorUnavailable as error:
                log.warning("coordinator unreachable", agentId=agent.agent_id, error=str(error))
            # The wait ends within a second after a kill or the loss of the lease.
            context.lease.wait(calculate_backoff_delay(retry))
        return coordinator.check(asked)

    def _gate_run(self, context: GateContext) -> GateRun:
        agent, base, candidate = context.agent, context.base, context.candidate
        candidates = self.candidates
        # Gates run sources: what tools make from them is that of the base.
        seen = candidates.variant(candidate, base, is_made)
        return GateRun(
            agent_id=agent.agent_id,
            attempt=agent.attempt,
            agent_type=agent.agent_type,
            work_items=context.request.context.work_items,
            tree=candidate.tree,
            contents=lambda: self.candidates.contents(candidate, base),
            diff=lambda: self.candidates.text_patch(candidate, base),
            checkout=lambda gate: candidates.checked_out(candidate, gate, commit=seen),
            trees=BaseTrees(
                base=base.commit,
                of_base=lambda gate: candidates.checked_out(candidate, gate, commit=base.commit),
                mixed=lambda gate, is_restored: candidates.checked_out(
                    candidate, gate, commit=candidates.variant(candidate, base, is_restored)
                ),
            ),
            may_edit=context.request.may_edit,
            readable=(candidate.git_dir / "objects", base.mirror / "objects"),
            check=context.lease.check,
        )


def _recorded(report: GateReport, agent: AgentState) -> Operation[None]:
    """Return the operation that stores a report, with the backend and model of the change."""
    names = ("agent", "model", "effort", "fell_back")
    facts = {name: getattr(agent, name) for name in names}
    return changes.append_report(report.model_copy(update=facts))


def _rejected(
    agent: AgentState, report: GateReport | None, verdict: Verdict
) -> RequestRework | Fail:
    """Return a request for rework, or `Fail` if no round is left or rework cannot help."""
    facts = {"verdict": verdict.wire()}
    if report is None:
        return Fail(GatesRejected(), facts)
    if _may_be_reworked(report) and agent.rounds < agent.max_retries:
        return RequestRework(facts)
    return Fail(GatesRejected(_rejection(report)), facts)


def _may_be_reworked(report: GateReport) -> bool:
    return not any(result.status in _NOT_THE_AGENTS for result in report.gates)


def _rejection(report: GateReport) -> str:
    failed = [
        f"gate {result.name} {result.status}: {(result.detail.splitlines() or ['-'])[0]}"
        for result in report.gates
        if not result.status.is_pass
    ]
    found = [f"{finding.path}: {finding.kind}" for finding in report.findings]
    return f"{'; '.join([*failed, *found])}."
