"""The run of all gates on a base commit before its first agent starts."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.environments.service import Borrower
from orchestrator.gates.plan import Plan
from orchestrator.interfaces.environment import Environment
from orchestrator.models import AgentType
from orchestrator.stages.gate_check.gate_runner import BaseTrees, GateRun, GateRunner
from orchestrator.workspace.change import Candidates
from orchestrator.workspace.mirror import Base


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
            case = GateRun(
                agent_id=borrower.agent_id,
                attempt=borrower.attempt,
                agent_type=AgentType.WORKER,
                work_items=(),
                tree=candidate.tree,
                contents=tuple,
                diff=str,
                checkout=lambda gate: self.candidates.checked_out(candidate, gate),
                trees=BaseTrees(
                    base=base.commit,
                    of_base=lambda gate: self.candidates.checked_out(candidate, gate),
                    mixed=lambda gate, _: self.candidates.checked_out(candidate, gate),
                ),
                readable=(candidate.git_dir / "objects", base.mirror / "objects"),
                environment=environment,
                check=borrower.check,
            )
            self.runner.remember_base(plan, case)
