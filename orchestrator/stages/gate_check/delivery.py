"""Delivery: the commit of an approved change, its fenced push, and its merge request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.errors import (
    BranchUnknown,
    ChangeConflicts,
    ForgeRefused,
    ForgeUnavailable,
    GatesRejected,
    GitFailed,
    OrchestratorError,
    RepositoryEmpty,
)
from orchestrator.host.cancel_scope import working_in
from orchestrator.interfaces.forge import ChangeRequest, Forge
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.attempt_result import Complete, Fail
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState, Conflict, Phase, Verdict
from orchestrator.repo_config import CONFIG_FILES, read_repo_config
from orchestrator.retry import calculate_backoff_delay
from orchestrator.secretscan.scanner import masked
from orchestrator.settings import Settings
from orchestrator.store import agents, kills
from orchestrator.workspace.change import Candidate, Candidates, commit_message
from orchestrator.workspace.git import showable
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.push import Pushed, Remote, pushed_to
from orchestrator.workspace.push_target import PushTarget, push_target

#: A push is tried so often after network errors; a refused push is not tried again.
PUSH_TRIES = 4
#: The state lists at most so many conflicts.
MOST_CONFLICTS = 100
_TITLE_CHARACTERS = 200

log = get_logger("delivery")


@dataclass(frozen=True)
class Reconciled:
    """The candidate to push: unchanged, or rebased onto the new tip of the target branch."""

    base: Base
    candidate: Candidate
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """Commits and pushes approved changes; the caller holds the lease of the agent."""

    holder: AgentLeases
    mirrors: Mirrors
    candidates: Candidates
    remote: Remote
    settings: Settings
    #: Returns the token for a repository's forge; empty if there is none.
    token: Callable[[str], str]
    forge: Forge | None = None

    def reconcile(self, agent: AgentState, base: Base, candidate: Candidate) -> Reconciled | Fail:
        """Check the change against the present target branch, and apply the conflict policy.

        If the returned candidate differs from the given one, no gate has run on it. The result
        is `Fail` if the change conflicts and the policy does not push conflicts, or if the target
        branch is deleted.

        Raises:
            GitFailed: the errors of `Mirrors.refresh`, except that of a deleted branch.
        """
        try:
            target = self.mirrors.refresh(agent.repository, agent.base_branch, with_tags=False)
        except (BranchUnknown, RepositoryEmpty):
            return Fail(_base_deleted(agent, base))
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
        """Commit exactly the tree of the verdict and push it to the agent's branch.

        Touches: the agent's record, before the push. With `delivery = keep` nothing is pushed.

        Raises:
            GatesRejected: the verdict does not approve this tree.
            PushRefused: the remote refused the push.
            PushFailed: the remote was not reached in `PUSH_TRIES` tries.
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
            red_before=verdict.red_before,
            made_by=agent.current.name if agent.model or agent.fell_back else "",
            fell_back=[f"{one.from_choice} to {one.to}" for one in agent.fell_back or ()],
        )
        # The time of the commit is fixed, so that a repeated delivery makes the same commit.
        instant = agent.started_at or agent.spawned_at
        target = self._target(agent)
        commit = self.candidates.commit(
            candidate, base, message=message, instant=instant, author=target.author
        )
        facts: dict[str, object] = {
            "verdict": verdict.wire(),
            "commit": commit,
            "conflicts": [conflict.wire() for conflict in reconciled.conflicts],
        }
        if self.settings.delivery == "keep":
            return Complete(facts)
        # This is the last compare-and-set before the push: it refuses a stale attempt.
        # `replaces` names the commit of an earlier attempt, which this push may overwrite.
        replaces = agent.pushing or ""
        starting = {"phase": Phase.DELIVERING, "pushing": commit, "verdict": verdict.wire()}
        agent = self.holder.update(agent, starting)
        pushed = self._push(agent, lease, candidate, commit, target, replaces=replaces)
        facts |= {"branch": pushed.branch, "commit": pushed.commit}
        return Complete(facts | self._request(agent, pushed, message))

    @contextmanager
    def reporting_kill(self, agent: AgentState, candidate: Candidate) -> Iterator[None]:
        """Write the commit on the remote to the receipt, if a kill ends the enclosed work."""
        try:
            yield
        except OrchestratorError:
            self._report_remote(agent, candidate)
            raise

    def _asked_for(self, agent: AgentState) -> str:
        """Return the first line of the work items: the title of a change without a summary."""
        request = self.holder.store.run(agents.read_request(agent.agent_id))
        lines = (line for item in request.context.work_items for line in item.splitlines())
        first = next((line for line in lines if line.strip()), "")
        for secret in self.settings.secrets:
            first = first.replace(secret, "[masked]")
        return masked(first)

    def _push(
        self,
        agent: AgentState,
        lease: Lease,
        candidate: Candidate,
        commit: str,
        target: PushTarget,
        *,
        replaces: str,
    ) -> Pushed:
        for retry in range(1, PUSH_TRIES + 1):
            lease.check()
            try:
                return self.remote.push(
                    candidate.git_dir,
                    target.address,
                    commit,
                    agent.agent_id,
                    replaces=replaces,
                    prefix=target.prefix,
                )
            except GitFailed as error:
                lease.check()
                if not error.retryable or retry == PUSH_TRIES:
                    raise
                log.warning("push failed", agentId=agent.agent_id, error=str(error), retry=retry)
            lease.wait(calculate_backoff_delay(retry))
        raise AssertionError

    def _target(self, agent: AgentState) -> PushTarget:
        """Return where the change is pushed, by the configuration of the first base commit.

        A rebase has another base, whose configuration must not move the branch.
        """
        base = self.mirrors.at(agent.repository, agent.base_branch, agent.base_commit or "")
        config = read_repo_config(self.mirrors.read_some(base, CONFIG_FILES).get)
        return push_target(self.settings, config, agent.repository)

    def _request(self, agent: AgentState, pushed: Pushed, message: str) -> dict[str, object]:
        """Open the pull or merge request; return its URL or the error as fields of the state.

        An error does not fail the agent, because its branch is pushed.
        """
        if self.forge is None:
            return {}
        title, _, body = message.partition("\n")
        repository = pushed_to(self.settings.push_url, agent.repository)
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
        """Write to the receipt of a killed agent whether its push reached the remote."""
        if not self.holder.confirmation.was_killed(agent):
            return
        branch = agent.agent_id
        state = self.holder.store.run(agents.find(agent.agent_id))
        if state is None or state.pushing is None:
            return
        try:
            with working_in(None):
                target = self._target(agent)
                branch = f"{target.prefix}{agent.agent_id}"
                found = self.remote.find(
                    candidate.git_dir, target.address, agent.agent_id, prefix=target.prefix
                )
        except GitFailed as error:
            reported = f"not readable ({error.detail})"
        else:
            reported = found or "absent"
        fact = kills.add_to_receipt(agent.agent_id, {"remote": f"{branch}: {reported}"})
        self.holder.store.run(fact)


def _base_deleted(agent: AgentState, base: Base) -> BranchUnknown:
    branch = showable(agent.base_branch)
    msg = (
        f"The branch {branch} was deleted after the agent had started from its commit"
        f" {base.commit[:12]}. The change has passed its gates and is retained."
    )
    action = f"Export it with `orch export`, or push {branch} again and use `orch retry`."
    return BranchUnknown(msg, action=action)
