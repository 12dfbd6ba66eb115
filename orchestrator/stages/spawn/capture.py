"""Captures the change of an agent as a bundle: at its end, at a checkpoint, or after a loss."""

from __future__ import annotations

from collections.abc import Callable
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
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.repo_config import CONFIG_FILES, CaptureConfig, read_repo_config
from orchestrator.settings import Settings
from orchestrator.stages.spawn.context import ProgramContext
from orchestrator.store import changes, kills
from orchestrator.store.capture_reports import record_capture
from orchestrator.store.operations import Operation
from orchestrator.workspace import change
from orchestrator.workspace.bundle import tip_of
from orchestrator.workspace.change import CaptureReport
from orchestrator.workspace.git import Git
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.worktree import Workspace

#: The limit of a capture command's output.
_SAID_BYTES = 2**21
#: The error message names at most so many retained commits.
_SHOWN = 5
_AT_CHECKPOINT = "What the agent had when it was checkpointed"
WHEN_STOPPED = "What the agent left when it was stopped"
#: The limit keeps processor time for kill confirmations while many agents are killed at once.
_SAVED_AT_ONCE = 2

log = get_logger("capture")


@dataclass(frozen=True)
class ChangeCapture:
    """Runs the capture command in the agent's sandbox and reads the bundle that it writes."""

    holder: AgentLeases
    sandbox: Sandbox
    settings: Settings
    #: Returns the patterns of what the environment of a base placed in its workspaces.
    placed: Callable[[Base], tuple[str, ...]] = lambda _: ()
    _saving: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_SAVED_AT_ONCE))
    #: The capture options by base commit.
    _configs: dict[str, CaptureConfig] = field(default_factory=dict)

    def capture(self, programs: ProgramContext, lease: Lease) -> bytes:
        """Return the bundle of the agent's change and write the report of the capture to its state.

        Raises:
            ChangeEmpty: the agent changed nothing.
            ChangeElsewhere: the tree is unchanged, but the agent has commits on other refs.
            WorkspaceLost: the agent damaged its workspace.
            ChangeTooLarge: the bundle exceeds the limit.
            GitTimedOut: the capture did not end in time.
        """

        def record(report: CaptureReport, change: str) -> None:
            self.holder.store.run(_recorded(programs.agent, report, change))

        bundle, report = self._bundle(programs, "What the agent left", lease, record=record)
        if not report.is_changed:
            shown = [f"{one.ref} ({one.commit[:12]} {one.subject})" for one in report.retained]
            more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
            msg = f"The agent's tree is unchanged; retained: {', '.join(shown[:_SHOWN])}{more}."
            name = programs.agent.agent_id
            arguments = f"{name} --ref '{report.retained[0].ref}'"
            action = f"Show it: `orch diff {arguments}`. Export it: `orch export {arguments}`."
            raise ChangeElsewhere(msg, action=action)
        return bundle

    def checkpoint(self, programs: ProgramContext, lease: Lease) -> None:
        """Save the present change of a running agent, from which a later attempt can continue.

        The capture ignores the agent's git configuration and does not write to its index. A
        capture that fails is logged and saves nothing. Touches: the change of this attempt.

        Raises:
            AgentKilled: a kill arrived during the capture; also the other errors of `Lease.check`.
        """
        agent, retain_s = programs.agent, self.settings.retention_s
        try:
            # The agent runs, so its overlays are in use.
            bundle, _ = self._bundle(programs, _AT_CHECKPOINT, lease, with_overlays=False)
        except (ChangeEmpty, GitFailed) as error:
            log.info("no checkpoint", agentId=agent.agent_id, reason=str(error))
            return
        saved = changes.save_change(agent.agent_id, agent.attempt, bundle, for_s=retain_s)
        self.holder.store.follow(saved, check=lease.check_held)

    def salvage(self, agent: AgentState, workspace: Workspace, base: Base) -> bytes:
        """Return the bundle of the work of an ended attempt, from its workspace.

        `agent` has the number of that attempt, which may not be the newest. The capture does not
        need the agent's `.git`. It raises the errors of `capture` except
        ChangeElsewhere.
        """
        programs = ProgramContext(self.settings, agent, workspace, base)
        # The cancel scope of the attempt has ended, so the capture runs in none.
        with self._saving, working_in(None):
            bundle, _ = self._bundle(
                programs,
                WHEN_STOPPED,
                record=lambda report, change: self._record(agent, report, change),
            )
        return bundle

    def _record(self, agent: AgentState, report: CaptureReport, change: str) -> None:
        """Write the report to the state, and to the receipt if this attempt was killed."""
        store = self.holder.store
        try:
            store.run(_recorded(agent, report, change))
            receipt = store.run(kills.find_receipt(agent.agent_id))
            facts = report.facts()
            if receipt is not None and receipt.attempt == agent.attempt and facts:
                store.run(kills.add_to_receipt(agent.agent_id, facts))
        except OrchestratorError as error:
            # The bundle also names its refs, so this error must not lose the bundle.
            log.info("capture not recorded", agentId=agent.agent_id, reason=str(error))

    def _bundle(
        self,
        programs: ProgramContext,
        message: str,
        lease: Lease | None = None,
        *,
        record: Callable[[CaptureReport, str], None] = lambda _, __: None,
        with_overlays: bool = True,
    ) -> tuple[bytes, CaptureReport]:
        """Return the bundle and the report, recorded also if there is no bundle.

        `record` gets the report and the commit of the change; '' if there is none.
        """
        command = change.capture_command(
            programs.workspace,
            programs.base,
            self._config_of(programs),
            limit_bytes=self.settings.change_limit_bytes,
            message=message,
        )
        spec = programs.program(
            command.argv,
            env={**command.env, **_dates(programs.agent)},
            cwd=programs.workspace.root,
            readable=command.readable,
            with_overlays=with_overlays,
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
        is_reported = ended.exit_code in change.REPORTED
        report = change.read_report(ended.stdout) if is_reported else CaptureReport()
        if report.left_out:
            shown = {one.reason: (one.count, *one.paths) for one in report.left_out}
            log.info("left out", agentId=programs.agent.agent_id, leftOut=shown)
        tip = ""
        try:
            if ended.exit_code != 0:
                raise change.explain(ended.exit_code, ended.stderr, report)
            bundle = change.read_bundle(programs.workspace, self.settings.change_limit_bytes)
            tip = tip_of(bundle)
        finally:
            if is_reported:
                record(report, tip)
        return bundle, report

    def _config_of(self, programs: ProgramContext) -> CaptureConfig:
        """Return the capture options of the base commit; defaults if they cannot be read.

        A malformed configuration has already stopped the agent before its start.
        """
        base = programs.base
        config = self._read_config(base)
        return config.model_copy(update={"ignore": (*self._placed(base), *config.ignore)})

    def _placed(self, base: Base) -> tuple[str, ...]:
        try:
            return self.placed(base)
        except OrchestratorError as error:
            log.warning("placed paths unknown", commit=base.commit, reason=str(error))
            return ()

    def _read_config(self, base: Base) -> CaptureConfig:
        if base.commit not in self._configs:
            mirrors = Mirrors(self.settings, Git(self.settings))
            try:
                config = read_repo_config(mirrors.read_some(base, CONFIG_FILES).get).capture
            except OrchestratorError as error:
                log.warning("no capture options", commit=base.commit, reason=str(error))
                config = CaptureConfig()
            self._configs[base.commit] = config
        return self._configs[base.commit]


def _recorded(agent: AgentState, report: CaptureReport, change_commit: str) -> Operation[str]:
    return record_capture(
        agent.agent_id,
        agent.attempt,
        left_out=report.left_out,
        unfinished=report.unfinished,
        change=change_commit,
        retained=report.retained,
    )


def _dates(agent: AgentState) -> dict[str, str]:
    """Return the dates of the commits: always the same, so that equal work is an equal bundle."""
    date = f"@{int(agent.spawned_at.timestamp())} +0000"
    return {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
