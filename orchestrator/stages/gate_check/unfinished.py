"""The check for unfinished changes: conflict markers, merges in progress, unfiltered files."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.errors import GitFailed
from orchestrator.gates.profiles import CHANGE, WORKTREE
from orchestrator.models import AgentState, Finding, GateReport, GateResult, GateStatus, Stage
from orchestrator.workspace.change import Candidate, Candidates
from orchestrator.workspace.clone import EARLIER
from orchestrator.workspace.markers import conflict_markers
from orchestrator.workspace.mirror import Base

_MOST_FINDINGS = 50
_NO_TREE = "0" * 40
_DETAIL = (
    "The repository was left in the midst of something, or files of the change are not as they may"
    " leave; each finding names one. Your files stand in the worktree as you left them, and your"
    " other branches are there. A merge or rebase that was in progress is not: resolve each file to"
    " what it should be, take every conflict marker out, and commit."
)


@dataclass(frozen=True)
class Unfinished:
    """Checks the report of the capture and the files of the candidate."""

    candidates: Candidates

    def find(self, agent: AgentState, base: Base, candidate: Candidate) -> tuple[Finding, ...]:
        """Return the findings that prevent the delivery, whatever the gate profile."""
        marked = conflict_markers(self.candidates.contents(candidate, base))
        found = [
            Finding(kind="unfinished", path=".git", detail=said) for said in agent.unfinished or ()
        ]
        found += [
            Finding(
                kind="conflict-markers",
                path=one.path,
                line=one.line,
                detail="the two sides of a conflict stand here, and the base has no such lines",
            )
            for one in marked
        ]
        found += [
            Finding(kind=f"filter:{one.filter}", path=one.path, detail=one.detail)
            for one in self.candidates.filter_faults(candidate, base)
        ]
        found += [
            Finding(
                kind="submodule-pin",
                path=one.path,
                detail=f"the remote of the submodule does not have its commit {one.commit}: only"
                " a commit that is there can be pinned",
            )
            for one in self.candidates.missing_pins(candidate, base)
        ]
        return tuple(found[:_MOST_FINDINGS])

    def report(
        self, agent: AgentState, candidate: Candidate, found: tuple[Finding, ...]
    ) -> GateReport:
        """Return the rejecting report; its detail asks the agent to finish its work."""
        return _report(agent, candidate.tree, WORKTREE, _DETAIL, found)


def refusal(agent: AgentState, error: GitFailed) -> GateReport:
    """Return the rejecting report of a change that git or a limit refuses."""
    detail = (
        f"{error.detail} {error.action} Your change could not be laid out, so the worktree is that"
        f" of the base commit: all of it is in the bundle $TMPDIR/{EARLIER} (`git fetch"
        f" $TMPDIR/{EARLIER} 'refs/orchestrator/*:refs/earlier/*'`). Take from there what is sound."
    )
    finding = Finding(kind=error.code, path=".", detail=error.detail)
    return _report(agent, _NO_TREE, CHANGE, detail, (finding,))


def _report(
    agent: AgentState, tree: str, gate: str, detail: str, found: tuple[Finding, ...]
) -> GateReport:
    return GateReport(
        agent_id=agent.agent_id,
        attempt=agent.attempt,
        stage=Stage.PRE_COMMIT,
        profile=agent.gate_profile,
        tree=tree,
        plan_digest="",
        approved=False,
        gates=(GateResult(name=gate, status=GateStatus.FAILED, detail=detail),),
        findings=found,
    )
