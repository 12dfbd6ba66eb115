"""Finds the secrets in what a change would let leave, and says so as a gate report."""

from __future__ import annotations

from dataclasses import dataclass

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

#: The name under which a rejection for secrets stands among the gates.
SECRETS = "secrets"
_MOST_FINDINGS = 50


@dataclass(frozen=True)
class Leaks:
    """Joins the reader of a change's history and the scanner."""

    candidates: Candidates
    scanner: Scanner

    def find(
        self, agent: AgentState, base: Base, candidate: Candidate
    ) -> tuple[SecretFinding, ...]:
        """Return the secrets that any commit of the change brings in, in contents and words."""
        texts = (
            ScannedText(one.commit, one.path, one.content, one.before)
            for one in self.candidates.introduced(candidate, base)
        )
        return self.scanner.scan(texts, repository=agent.repository)

    def report(
        self, agent: AgentState, base: Base, candidate: Candidate, found: tuple[SecretFinding, ...]
    ) -> GateReport:
        """Return the rejection that asks the agent to rewrite its commits."""
        detail = (
            f"{len(found)} secrets stand in what would be pushed. Take each out of its file, and"
            f" out of every commit that has it (`git reset --soft {base.commit}`, then commit"
            " anew): a later commit that removes it does not help. Read secrets from the"
            " environment instead. If one is no secret, an operator can allow its fingerprint."
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
    """Return a report whose words, which programs and reviewers wrote, hold no secret."""
    gates = tuple(
        gate.model_copy(update={"detail": masked(gate.detail)}) if gate.detail else gate
        for gate in report.gates
    )
    findings = tuple(
        finding.model_copy(update={"detail": masked(finding.detail)}) for finding in report.findings
    )
    return report.model_copy(update={"gates": gates, "findings": findings})
