"""Delivers an approved change: the one commit, the fenced push, the request to merge it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.errors import (
    ChangeConflicts,
    ForgeRefused,
    ForgeUnavailable,
    GatesRejected,
    GitFailed,
    OrchestratorError,
)
from orchestrator.host.cancel_scope import working_in
from orchestrator.interfaces.forge import ChangeRequest, Forge
from orchestrator.leases.attempt_result import Complete, Fail
from orchestrator.leases.holder import AgentLeases
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Conflict, Phase, Verdict
from orchestrator.retry import calculate_backoff_delay
from orchestrator.secretscan.scanner import masked
from orchestrator.settings import Settings
from orchestrator.store import agents, kills
from orchestrator.workspace.change import Candidate, Candidates, commit_message
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.push import Pushed, Remote, pushed_to

#: Network errors are tried again with backoff; a refusal never.
PUSH_TRIES = 4
#: More conflicts in the state say no more.
MOST_CONFLICTS = 100
_TITLE_CHARACTERS = 200

log = get_logger("deliver")


@dataclass(frozen=True)
class Reconciled:
    """What is pushed after a look at the target branch: as it was judged, or on its new tip."""

    base: Base
    candidate: Candidate
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """The last steps of an agent, taken by the worker that holds its lease."""

    holder: AgentLeases
    mirrors: Mirrors
    candidates: Candidates
    remote: Remote
    settings: Settings
    #: Returns the token for a repository's forge; empty if there is none.
    token: Callable[[str], str]
    forge: Forge | None = None

    def reconcile(self, agent: AgentState, base: Base, candidate: Candidate) -> Reconciled | Fail:
        """Check the change against its target branch as it is now, and do what the policy says.

        A returned candidate that is another than the given one has not been judged. It fails
        where the change conflicts and the policy does not push conflicts.

        Raises:
            BranchUnknown: the target branch is gone; more as `Mirrors.refresh`.
        """
        target = self.mirrors.refresh(agent.repository, agent.base_branch)
        if target.commit == base.commit:
            return Reconciled(base, candidate)
        preview = self.candidates.merged(candidate, base, target)
        conflicts = preview.conflicts[:MOST_CONFLICTS]
        policy = self.settings.conflict_policy
        if conflicts and policy != "push-branch":
            shown = ", ".join(f"{one.path} ({one.kind})" for one in conflicts[:10])
            msg = f"It conflicts with {agent.base_branch} at {target.commit[:12]}: {shown}."
            facts = {"conflicts": [one.wire() for one in conflicts]}
            return Fail(ChangeConflicts(msg), facts)
        if preview.tree is not None and policy == "rebase":
            return Reconciled(target, self.candidates.moved(candidate, preview.tree, target))
        return Reconciled(base, candidate, conflicts)

    def deliver(
        self, agent: AgentState, lease: Lease, reconciled: Reconciled, verdict: Verdict
    ) -> Complete:
        """Commit exactly the judged tree and push it to the agent's branch.

        Raises:
            GatesRejected: the verdict is not an approval of this tree.
            PushRefused: the remote will not have it.
            PushFailed: the remote was not reached.
        """
        candidate, base = reconciled.candidate, reconciled.base
        if not verdict.approved or verdict.tree != candidate.tree:
            msg = f"There is no approval of tree {candidate.tree}."
            raise GatesRejected(msg)
        message = commit_message(
            agent.summary or self._asked_for(agent),
            agent_id=agent.agent_id,
            task_id=agent.task_id,
            profile=agent.gate_profile,
        )
        # Not the time it is: a repeated delivery must make the same commit.
        instant = agent.started_at or agent.spawned_at
        commit = self.candidates.commit(candidate, base, message=message, instant=instant)
        facts: dict[str, object] = {
            "verdict": verdict.wire(),
            "commit": commit,
            "conflicts": [conflict.wire() for conflict in reconciled.conflicts],
        }
        if self.settings.delivery == "keep":
            return Complete(facts)
        # The attempt's last compare-and-set before the remote changes: a stale one ends here.
        # What an older attempt may have pushed since is known by its name, and gives way.
        replaces = agent.pushing or ""
        starting = {"phase": Phase.DELIVERING, "pushing": commit, "verdict": verdict.wire()}
        agent = self.holder.update(agent, starting)
        pushed = self._push(agent, lease, candidate, commit, replaces=replaces)
        facts |= {"branch": pushed.branch, "commit": pushed.commit}
        return Complete(facts | self._request(agent, pushed, message))

    @contextmanager
    def reporting_kill(self, agent: AgentState, candidate: Candidate) -> Iterator[None]:
        """Where the work inside ends by a kill, write into the receipt what the remote holds."""
        try:
            yield
        except OrchestratorError:
            self._report_remote(agent, candidate)
            raise

    def _asked_for(self, agent: AgentState) -> str:
        """Return the first line of its work items: the title where the agent said nothing."""
        request = self.holder.store.run(agents.read_request(agent.agent_id))
        lines = (line for item in request.context.work_items for line in item.splitlines())
        first = next((line for line in lines if line.strip()), "")
        for secret in self.settings.secrets:
            first = first.replace(secret, "[masked]")
        return masked(first)

    def _push(
        self, agent: AgentState, lease: Lease, candidate: Candidate, commit: str, *, replaces: str
    ) -> Pushed:
        for retry in range(1, PUSH_TRIES + 1):
            lease.check()
            try:
                return self.remote.push(
                    candidate.git_dir,
                    self._address(agent),
                    commit,
                    agent.agent_id,
                    replaces=replaces,
                )
            except GitFailed as error:
                lease.check()
                if not error.retryable or retry == PUSH_TRIES:
                    raise
                log.warning("push failed", agentId=agent.agent_id, error=str(error), retry=retry)
            lease.wait(calculate_backoff_delay(retry))
        raise AssertionError

    def _address(self, agent: AgentState) -> str:
        return pushed_to(self.settings.push_url, agent.repository)

    def _request(self, agent: AgentState, pushed: Pushed, message: str) -> dict[str, object]:
        """Open the pull or merge request; that the branch is pushed stays true without one."""
        if self.forge is None:
            return {}
        title, _, body = message.partition("\n")
        repository = self._address(agent)
        asked = ChangeRequest(
            repository=repository,
            branch=pushed.branch,
            base_branch=agent.base_branch,
            title=title[:_TITLE_CHARACTERS],
            body=body.strip(),
        )
        try:
            token = self.token(repository)
            return {"requestUrl": self.forge.open_request(asked, token=token)}
        except (ForgeRefused, ForgeUnavailable, GitFailed) as error:
            log.warning("no request opened", agentId=agent.agent_id, error=str(error))
            return {"requestError": str(error)}

    def _report_remote(self, agent: AgentState, candidate: Candidate) -> None:
        """After a kill, check whether the push was faster, and say so in the receipt."""
        if not self.holder.confirmation.was_killed(agent):
            return
        state = self.holder.store.run(agents.find(agent.agent_id))
        if state is None or state.pushing is None:
            return
        try:
            with working_in(None):
                found = self.remote.find(candidate.git_dir, self._address(agent), agent.agent_id)
        except GitFailed as error:
            reported = f"not readable ({error.detail})"
        else:
            reported = found or "absent"
        branch = f"agent/{agent.agent_id}"
        fact = kills.add_to_receipt(agent.agent_id, {"remote": f"{branch}: {reported}"})
        self.holder.store.run(fact)
