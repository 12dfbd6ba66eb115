"""Judges one attempt's change: plan from the base commit, checks on a clean checkout, verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.commands import run_to_end
from orchestrator.deliver import Delivery
from orchestrator.errors import GatesRejected
from orchestrator.gates.plan import Plan, make_plan
from orchestrator.lifecycle.holder import Holder
from orchestrator.lifecycle.lease import Lease
from orchestrator.models import AgentState, GateReport, GateResult, GateStatus, Stage, Verdict
from orchestrator.ports import Completed, Detector, PlannedGate, ProcessSpec, Sandbox
from orchestrator.settings import Settings
from orchestrator.store import changes
from orchestrator.workspace.change import Candidate, Candidates
from orchestrator.workspace.mirror import Mirrors

#: Output of one gate that is kept in memory.
OUTPUT_LIMIT_BYTES = 256 * 1024
#: What a gate report quotes of it: the end, where tools say what failed.
QUOTED_CHARACTERS = 2000


@dataclass(frozen=True)
class GateCheck:
    """The gates pool's work."""

    holder: Holder
    mirrors: Mirrors
    candidates: Candidates
    detectors: Sequence[Detector]
    sandbox: Sandbox
    delivery: Delivery
    settings: Settings

    def run(self, agent_id: str, attempt: int) -> None:
        """Judge this attempt if it waits for its gates; every end is written into its state."""
        agent = self.holder.take_over(agent_id, attempt)
        if agent is None:
            return
        with self.holder.ending(agent), self.holder.lease(agent) as lease:
            self._judge(agent, lease)

    def _judge(self, agent: AgentState, lease: Lease) -> None:
        # The branch may have moved on: the change is judged against where its agent started.
        base = self.mirrors.at(agent.repository, agent.base_branch, agent.base_commit or "")
        bundle = self.holder.store.run(changes.get_change(agent.agent_id, agent.attempt))
        with self.candidates.received(base, bundle, agent.agent_id, agent.attempt) as candidate:
            plan = make_plan(
                agent.gate_profile,
                lambda path: self.mirrors.read(base, path),
                self.detectors,
                timeout_s=self.settings.gate_timeout_s,
            )
            report = self._check(agent, lease, candidate, plan)
            self.holder.store.run(changes.append_report(report))
            verdict = _verdict(report)
            agent = self.holder.update(agent, {"verdict": verdict.wire()})
            if not report.approved:
                raise GatesRejected(_rejection(report))
            lease.check()
            self.delivery.deliver(agent, base, candidate, verdict)

    def _check(
        self, agent: AgentState, lease: Lease, candidate: Candidate, plan: Plan
    ) -> GateReport:
        with self.candidates.checked_out(candidate) as checkout:
            results = tuple(
                self._run_gate(agent, lease.check, checkout, gate) for gate in plan.gates
            )
        return GateReport(
            agent_id=agent.agent_id,
            attempt=agent.attempt,
            stage=Stage.PRE_COMMIT,
            profile=plan.profile,
            tree=candidate.tree,
            plan_digest=plan.digest,
            approved=all(result.status is GateStatus.PASSED for result in results),
            gates=results,
        )

    def _run_gate(
        self, agent: AgentState, check: Callable[[], None], checkout: Path, gate: PlannedGate
    ) -> GateResult:
        if gate.command is None:
            return GateResult(name=gate.name, status=GateStatus.MISSING, detail=gate.hint)
        host = self.settings.host_env
        spec = ProcessSpec(
            agent_id=agent.agent_id,
            argv=("/bin/sh", "-c", gate.command),
            env={
                "PATH": host.get("PATH", "/usr/bin:/bin"),
                "LANG": host.get("LANG", "C.UTF-8"),
                "HOME": str(checkout.parent),
                "CI": "true",
            },
            cwd=checkout,
        )
        ended = run_to_end(
            self.sandbox,
            spec,
            timeout_s=gate.timeout_s,
            output_limit_bytes=OUTPUT_LIMIT_BYTES,
            check=check,
        )
        status, detail = _judge(ended, gate)
        return GateResult(
            name=gate.name,
            status=status,
            command=gate.command,
            duration_ms=ended.duration_ms,
            exit_code=ended.exit_code,
            detail=detail,
            output_digest=hashlib.sha256(ended.stdout + ended.stderr).hexdigest(),
        )


def _judge(ended: Completed, gate: PlannedGate) -> tuple[GateStatus, str]:
    said = (ended.stdout + ended.stderr).decode(errors="replace").strip()[-QUOTED_CHARACTERS:]
    if ended.timed_out:
        return GateStatus.TIMED_OUT, f"not finished after {gate.timeout_s:.0f} s\n{said}"
    if ended.exit_code == 0:
        return GateStatus.PASSED, said
    # The shell's own words for a program that is not there or may not be run.
    if ended.exit_code in (126, 127):
        return GateStatus.ERRORED, f"the gates worker cannot run {gate.command!r}\n{said}"
    if ended.exit_code < 0:
        return GateStatus.ERRORED, f"ended by signal {-ended.exit_code}\n{said}"
    return GateStatus.FAILED, said


def _verdict(report: GateReport) -> Verdict:
    return Verdict(
        approved=report.approved,
        profile=report.profile,
        tree=report.tree,
        plan_digest=report.plan_digest,
        gates={result.name: result.status for result in report.gates},
    )


def _rejection(report: GateReport) -> str:
    failed = (result for result in report.gates if result.status is not GateStatus.PASSED)
    return "; ".join(
        f"gate {result.name} {result.status}: {result.detail.strip().splitlines()[-1]}"
        if result.detail.strip()
        else f"gate {result.name} {result.status}"
        for result in failed
    )
