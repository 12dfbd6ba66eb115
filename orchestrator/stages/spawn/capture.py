"""Takes an agent's change out of its workspace: when it is done, and when it was stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import BoundedSemaphore

from orchestrator.errors import ChangeEmpty, GitFailed
from orchestrator.host.cancel_scope import working_in
from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import Sandbox
from orchestrator.leases.holder import AgentLeases
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.stages.spawn.context import ProgramContext
from orchestrator.store import changes
from orchestrator.workspace import change
from orchestrator.workspace.change import CaptureCommand
from orchestrator.workspace.clone import Workspace
from orchestrator.workspace.mirror import Base

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
        agent, kept_for_s = programs.agent, self.settings.retention_s
        try:
            bundle = self._bundle(programs, command, lease)
        except (ChangeEmpty, GitFailed) as error:
            log.info("no checkpoint", agentId=agent.agent_id, reason=str(error))
            return
        saved = changes.save_change(agent.agent_id, agent.attempt, bundle, for_s=kept_for_s)
        self.holder.store.run(saved)

    def salvage(self, agent: AgentState, workspace: Workspace, base: Base) -> bytes:
        """Return the bundle of what stands in the worktree of an attempt that has ended.

        It needs nothing of the agent's `.git`. Raises as `capture` does.
        """
        programs = ProgramContext(self.settings, agent, workspace, base)
        # In nobody's custody: this one has ended.
        with self._saving, working_in(None):
            return self._bundle(programs, change.salvage_command(workspace, base))

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
