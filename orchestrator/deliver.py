"""Lets an approved change leave: the one commit, the push, the final state."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.errors import GatesRejected
from orchestrator.lifecycle.holder import Holder
from orchestrator.models import AgentState, Phase, Verdict
from orchestrator.workspace.change import Candidate, Candidates, commit_message
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.push import Remote


@dataclass(frozen=True)
class Delivery:
    """The last steps of an agent, taken by the worker that holds its lease."""

    holder: Holder
    candidates: Candidates
    remote: Remote

    def deliver(
        self, agent: AgentState, base: Base, candidate: Candidate, verdict: Verdict
    ) -> None:
        """Commit exactly the judged tree, push it to the agent's branch, end the agent.

        Raises:
            GatesRejected: the verdict is not an approval of this tree.
            PushRefused: the remote will not have it.
            PushFailed: the remote was not reached.
        """
        if not verdict.approved or verdict.tree != candidate.tree:
            msg = f"There is no approval of tree {candidate.tree}."
            raise GatesRejected(msg)
        # The attempt's last compare-and-set before the remote changes: a stale one ends here.
        agent = self.holder.update(agent, {"phase": Phase.DELIVERING})
        commit = self.candidates.commit(
            candidate,
            base,
            message=commit_message(
                agent.summary or "",
                agent_id=agent.agent_id,
                task_id=agent.task_id,
                profile=agent.gate_profile,
            ),
            # Not the time it is: a repeated delivery must make the same commit.
            instant=agent.started_at or agent.spawned_at,
        )
        pushed = self.remote.push(candidate.git_dir, agent.repository, commit, agent.agent_id)
        self.holder.complete(agent, {"branch": pushed.branch, "commit": pushed.commit})
