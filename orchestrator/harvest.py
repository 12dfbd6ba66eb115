"""Takes an agent's change out of its workspace: when it is done, and when it was stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import BoundedSemaphore

from orchestrator.commands import run_to_end
from orchestrator.custody import working_in
from orchestrator.errors import ChangeEmpty, GitFailed, OrchestratorError
from orchestrator.lifecycle import kills
from orchestrator.lifecycle.holder import Holder
from orchestrator.lifecycle.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.ports import Completed, Sandbox
from orchestrator.settings import Settings
from orchestrator.store import changes
from orchestrator.surroundings import Surroundings
from orchestrator.workspace import change
from orchestrator.workspace.change import CaptureCommand

#: What a capture may say of itself.
_SAID_BYTES = 65_536
#: Saving waits: while hundreds are killed at once, their ends come first.
_SAVED_AT_ONCE = 2

log = get_logger("harvest")


@dataclass(frozen=True)
class Harvest:
    """Runs the capture in the agent's sandbox; the bundle it leaves is the change."""

    holder: Holder
    sandbox: Sandbox
    settings: Settings
    _saving: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_SAVED_AT_ONCE))

    def capture(self, there: Surroundings, lease: Lease) -> bytes:
        """Return the bundle of what the agent changed.

        Raises:
            ChangeEmpty: it changed nothing.
            WorkspaceLost: it broke its workspace.
            ChangeTooLarge: the bundle is over the limit.
        """
        command = change.capture_command(there.workspace, there.base.commit)
        return self._bundle(there, command, lease)

    def checkpoint(self, there: Surroundings, lease: Lease) -> None:
        """Keep what a running agent has changed so far, for an attempt after this one.

        Nothing of the agent's git configuration is in force, and its own index is not touched.

        Raises:
            AgentKilled: meanwhile; more as `Lease.check`.
        """
        command = change.salvage_command(there.workspace, there.base)
        try:
            self._keep(there.agent, self._bundle(there, command, lease))
        except (ChangeEmpty, GitFailed) as error:
            log.info("no checkpoint", agentId=there.agent.agent_id, reason=str(error))

    def save(self, there: Surroundings, lease: Lease) -> None:
        """Save what a stopped agent had changed, if it can be; a kill is confirmed before."""
        store, agent_id = self.holder.store, there.agent.agent_id
        if lease.is_killed:
            self.holder.witness.confirm(lease)
            receipt = store.run(kills.find_receipt(agent_id))
            if receipt is not None and receipt.discard:
                return
        try:
            # In nobody's custody: this one has ended.
            with self._saving, working_in(None):
                bundle = self._bundle(there, change.salvage_command(there.workspace, there.base))
            self._keep(there.agent, bundle)
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
        there: Surroundings,
        command: CaptureCommand,
        lease: Lease | None = None,
    ) -> bytes:
        spec = there.program(command.argv, env=command.env, cwd=there.workspace.root)
        ended: Completed = run_to_end(
            self.sandbox,
            spec,
            timeout_s=self.settings.git_timeout_s,
            output_limit_bytes=_SAID_BYTES,
            check=lease.check if lease else lambda: None,
        )
        if ended.exit_code != 0:
            raise change.explain(ended.exit_code, ended.stderr)
        return change.read_bundle(there.workspace, self.settings.change_limit_bytes)
