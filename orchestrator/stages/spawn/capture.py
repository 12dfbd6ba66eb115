"""Takes an agent's change out of its workspace: when it is done, and when it was stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import BoundedSemaphore

from orchestrator.errors import ChangeEmpty, GitFailed, OrchestratorError
from orchestrator.host.cancel_scope import working_in
from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import Sandbox
from orchestrator.leases.holder import AgentLeases
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.stages.spawn.context import ProgramContext
from orchestrator.store import changes, kills
from orchestrator.workspace import change
from orchestrator.workspace.change import CaptureCommand

#: What a capture may say of itself.
_SAID_BYTES = 65_536
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

    def capture(self, programs: ProgramContext, lease: Lease) -> bytes:
        """Return the bundle of what the agent changed.

        Raises:
            ChangeEmpty: it changed nothing.
            WorkspaceLost: it broke its workspace.
            ChangeTooLarge: the bundle is over the limit.
        """
        command = change.capture_command(programs.workspace, programs.base.commit)
        return self._bundle(programs, command, lease)

    def checkpoint(self, programs: ProgramContext, lease: Lease) -> None:
        """Keep what a running agent has changed so far, for an attempt after this one.

        Nothing of the agent's git configuration is in force, and its own index is not touched.

        Raises:
            AgentKilled: meanwhile; more as `Lease.check`.
        """
        command = change.salvage_command(programs.workspace, programs.base)
        try:
            self._keep(programs.agent, self._bundle(programs, command, lease))
        except (ChangeEmpty, GitFailed) as error:
            log.info("no checkpoint", agentId=programs.agent.agent_id, reason=str(error))

    def save(self, programs: ProgramContext, lease: Lease) -> None:
        """Save what a stopped agent had changed, if it can be; a kill is confirmed before."""
        store, agent_id = self.holder.store, programs.agent.agent_id
        if lease.is_killed:
            self.holder.confirmation.confirm(lease)
            receipt = store.run(kills.find_receipt(agent_id))
            if receipt is not None and receipt.discard:
                return
        try:
            # In nobody's custody: this one has ended.
            with self._saving, working_in(None):
                bundle = self._bundle(
                    programs, change.salvage_command(programs.workspace, programs.base)
                )
            self._keep(programs.agent, bundle)
            if lease.is_killed:
                store.run(kills.add_to_receipt(agent_id, {"savedBytes": len(bundle)}))
        except OrchestratorError as error:
            log.info("nothing saved", agentId=agent_id, reason=str(error))

    def _keep(self, agent: AgentState, bundle: bytes) -> None:
        kept_for_s = self.settings.retention_s
        operation = changes.save_change(agent.agent_id, agent.attempt, bundle, for_s=kept_for_s)
        self.holder.store.run(operation)

    def _bundle(
        self,
        programs: ProgramContext,
        command: CaptureCommand,
        lease: Lease | None = None,
    ) -> bytes:
        spec = programs.program(command.argv, env=command.env, cwd=programs.workspace.root)
        ended: Completed = run_to_end(
            self.sandbox,
            spec,
            timeout_s=self.settings.git_timeout_s,
            output_limit_bytes=_SAID_BYTES,
            check=lease.check if lease else lambda: None,
        )
        if ended.exit_code != 0:
            raise change.explain(ended.exit_code, ended.stderr)
        return change.read_bundle(programs.workspace, self.settings.change_limit_bytes)
