"""The secret scan of a change: its findings and its gate report."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.gates.profiles import SECRETS
from orchestrator.models import (
    AgentState,
    Finding,
    GateReport,
    GateResult,
    GateStatus,
    SecretFinding,
    Stage,
)
from orchestrator.secretscan.scanner import ScannedText, Scanner, masked
from orchestrator.workspace.change import Candidate, Candidates
from orchestrator.workspace.mirror import Base

_MOST_FINDINGS = 50


@dataclass(frozen=True)
class SecretFindings:
    """Scans the commits of a candidate for secrets."""

    candidates: Candidates
    scanner: Scanner

    def find(
        self, agent: AgentState, base: Base, candidate: Candidate
    ) -> tuple[SecretFinding, ...]:
        """Return the secrets that the commits of the change add, in files and commit messages."""
        texts = (
            ScannedText(one.commit, one.path, one.content, one.before, one.reason, one.earlier)
            for one in self.candidates.introduced(candidate, base)
        )
        return self.scanner.scan(texts, repository=agent.repository)

    def report(
        self, agent: AgentState, candidate: Candidate, found: tuple[SecretFinding, ...]
    ) -> GateReport:
        """Return the rejecting report; its detail asks the agent to rewrite its commits."""
        detail = (
            f"{len(found)} secrets stand in what would be pushed. The commits of this change are"
            " to be rewritten without them: they have been taken apart, and your work stands"
            " uncommitted on the base commit. Take each secret out of its file, read it from the"
            " environment instead, and commit anew. If one of them is no secret, an operator can"
            " allow its fingerprint."
        )
        return GateReport(
            agent_id=agent.agent_id,
            attempt=agent.attempt,
            stage=Stage.PRE_COMMIT,
            profile=agent.gate_profile,
            tree=candidate.tree,
            plan_digest="",
            approved=False,
            gates=(GateResult(name=SECRETS, status=GateStatus.FAILED, detail=detail),),
            findings=tuple(
                Finding(
                    kind=f"secret:{one.rule}",
                    path=one.file,
                    line=one.line,
                    detail=f"commit {(one.commit or '-')[:12]}, fingerprint {one.fingerprint}",
                )
                for one in found[:_MOST_FINDINGS]
            ),
        )


def without_secrets(report: GateReport) -> GateReport:
    """Return the report with secrets masked in its details, which programs wrote."""
    gates = tuple(gate.model_copy(update={"detail": masked(gate.detail)}) for gate in report.gates)
    findings = tuple(
        finding.model_copy(update={"detail": masked(finding.detail)}) for finding in report.findings
    )
    return report.model_copy(update={"gates": gates, "findings": findings})
