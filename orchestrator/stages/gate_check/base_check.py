"""Runs of gates on a base commit that no agent has changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from orchestrator.environments.service import Borrower
from orchestrator.gates.plan import Plan
from orchestrator.interfaces.environment import Environment
from orchestrator.models import AgentType
from orchestrator.stages.gate_check.gate_runner import BaseTrees, GateRun, GateRunner
from orchestrator.workspace.change import Candidate, Candidates
from orchestrator.workspace.mirror import Base


def untouched_run(
    candidates: Candidates,
    candidate: Candidate,
    base: Base,
    environment: Environment | None,
    borrower: Borrower,
) -> GateRun:
    """Return the run of gates on a candidate that changes nothing of its base."""
    checkout = partial(candidates.checked_out, candidate)
    return GateRun(
        agent_id=borrower.agent_id,
        attempt=borrower.attempt,
        agent_type=AgentType.WORKER,
        work_items=(),
        tree=candidate.tree,
        contents=tuple,
        diff=str,
        checkout=checkout,
        trees=BaseTrees(base.commit, of_base=checkout, mixed=lambda gate, _: checkout(gate)),
        readable=(candidate.git_dir / "objects", base.mirror / "objects"),
        environment=environment,
        check=borrower.check,
    )


@dataclass(frozen=True)
class BaseCheck:
    """Runs gates on base commits; this host remembers how they end."""

    candidates: Candidates
    runner: GateRunner

    def run(
        self, plan: Plan, base: Base, environment: Environment | None, borrower: Borrower
    ) -> None:
        """Run each command of a plan on a base commit, unless this host remembers its end.

        Raises:
            DiskFull: the disk is full.
            GitFailed: git could not check the base out.
        """
        with self.candidates.of_base(base, borrower.agent_id, borrower.attempt) as candidate:
            case = untouched_run(self.candidates, candidate, base, environment, borrower)
            self.runner.remember_base(plan, case)
