"""Takes an agent's change out of its workspace: when it is done, and when it was stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import BoundedSemaphore

from orchestrator.errors import (
    ChangeElsewhere,
    ChangeEmpty,
    GitFailed,
    GitTimedOut,
    OrchestratorError,
)
from orchestrator.host.cancel_scope import working_in
from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import Sandbox
from orchestrator.leases.holder import AgentLeases
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.repo_config import CONFIG_FILES, CaptureConfig, read_repo_config
from orchestrator.settings import Settings
from orchestrator.stages.spawn.context import ProgramContext
from orchestrator.store import changes, kills
from orchestrator.workspace import change
from orchestrator.workspace.change import CaptureReport
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.worktree import Workspace

#: What a capture may say of itself.
_SAID_BYTES = 2**18
#: So many commits beside an unchanged tree are named in one line.
_SHOWN = 5
_AT_CHECKPOINT = "What the agent had when it was checkpointed"
_WHEN_STOPPED = "What the agent left when it was stopped"
#: Saving waits: while hundreds are killed at once, their ends come first.
_SAVED_AT_ONCE = 2

log = get_logger("harvest")


@dataclass(frozen=True)
class ChangeCapture:
    """Runs the capture in the agent's sandbox; the bundle it leaves is the change."""

    holder: AgentLeases
    sandbox: Sandbox
    settings: Settings
    _saving: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_SAVED_AT_ONCE))
    #: The configuration of each base commit that was captured against.
    _configs: dict[str, CaptureConfig] = field(default_factory=dict)

    def capture(self, programs: ProgramContext, lease: Lease) -> bytes:
        """Return the bundle of what the agent changed, and say in its state what stands beside it.

        Raises:
            ChangeEmpty: it changed nothing, anywhere.
            ChangeElsewhere: its tree is as it was, and what it did elsewhere is kept.
            WorkspaceLost: it broke its workspace.
            ChangeTooLarge: the bundle is over the limit.
        """
        bundle, report = self._bundle(programs, "What the agent left", lease)
        self.holder.update(programs.agent, report.facts())
        if not report.is_changed:
            shown = [f"{one.ref} ({one.commit[:12]} {one.subject})" for one in report.retained]
            more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
            listed = ", ".join(shown[:_SHOWN])
            msg = f"The agent did not change its tree. Retained commits: {listed}{more}."
            name = programs.agent.agent_id
            arguments = f"{name} --ref '{report.retained[0].ref}'"
            action = f"Print it with `orch diff {arguments}`, or run `orch export {arguments}`."
            raise ChangeElsewhere(msg, action=action)
        return bundle

    def checkpoint(self, programs: ProgramContext, lease: Lease) -> None:
        """Save what a running agent has changed so far, for an attempt after this one.

        Nothing of the agent's git configuration is in force, and its own index is not touched.

        Raises:
            AgentKilled: meanwhile; more as `Lease.check`.
        """
        agent, kept_for_s = programs.agent, self.settings.retention_s
        try:
            bundle, _ = self._bundle(programs, _AT_CHECKPOINT, lease)
        except (ChangeEmpty, GitFailed) as error:
            log.info("no checkpoint", agentId=agent.agent_id, reason=str(error))
            return
        saved = changes.save_change(agent.agent_id, agent.attempt, bundle, for_s=kept_for_s)
        self.holder.store.run(saved)

    def salvage(self, agent: AgentState, workspace: Workspace, base: Base) -> bytes:
        """Return the bundle of all that an ended attempt left in its workspace.

        It needs nothing of the agent's `.git`. Raises as `capture` does, but for ChangeElsewhere.
        """
        programs = ProgramContext(self.settings, agent, workspace, base)
        # In no cancel scope: that of the attempt has ended.
        with self._saving, working_in(None):
            bundle, report = self._bundle(programs, _WHEN_STOPPED)
        self._record(agent, report)
        return bundle

    def _record(self, agent: AgentState, report: CaptureReport) -> None:
        """Write what the capture found into the state, or into the receipt of a killed agent."""
        store, facts = self.holder.store, report.facts()
        try:
            receipt = store.run(kills.find_receipt(agent.agent_id))
            if receipt is None:
                self.holder.update(agent, facts)
            elif retained := facts["retained"]:
                # A killed agent's state is final.
                store.run(kills.add_to_receipt(agent.agent_id, {"retained": retained}))
        except OrchestratorError as error:
            # The bundle names its refs, too: it must not be lost for this.
            log.info("capture not recorded", agentId=agent.agent_id, reason=str(error))

    def _bundle(
        self, programs: ProgramContext, message: str, lease: Lease | None = None
    ) -> tuple[bytes, CaptureReport]:
        command = change.capture_command(
            programs.workspace,
            programs.base,
            self._config_of(programs),
            limit_bytes=self.settings.change_limit_bytes,
            message=message,
        )
        spec = programs.program(
            command.argv,
            env=command.env,
            cwd=programs.workspace.root,
            readable=command.readable,
        )
        ended: Completed = run_to_end(
            self.sandbox,
            spec,
            timeout_s=self.settings.git_timeout_s,
            output_limit_bytes=_SAID_BYTES,
            check=lease.check if lease else lambda: None,
        )
        if ended.timed_out:
            msg = f"The change was not captured within {self.settings.git_timeout_s:g} s."
            raise GitTimedOut(msg)
        if ended.exit_code != 0:
            raise change.explain(ended.exit_code, ended.stderr)
        report = change.read_report(ended.stdout)
        if report.left_out:
            shown = {one.reason: (one.count, *one.paths) for one in report.left_out}
            log.info("left out", agentId=programs.agent.agent_id, leftOut=shown)
        bundle = change.read_bundle(programs.workspace, self.settings.change_limit_bytes)
        return bundle, report

    def _config_of(self, programs: ProgramContext) -> CaptureConfig:
        """Return what the base commit says of captures; a start has refused what is malformed."""
        base = programs.base
        if base.commit not in self._configs:
            mirrors = Mirrors(self.settings, Git(self.settings))
            try:
                config = read_repo_config(mirrors.read_some(base, CONFIG_FILES).get).capture
            except OrchestratorError as error:
                log.warning("no capture options", commit=base.commit, reason=str(error))
                config = CaptureConfig()
            self._configs[base.commit] = config
        return self._configs[base.commit]
