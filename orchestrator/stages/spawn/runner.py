"""Runs one agent from its claim to its captured change, and hands it to the gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.agent_output.reader import OutputReader
from orchestrator.errors import (
    AgentFailed,
    AgentKilled,
    DiskFull,
    GitFailed,
    ProviderLimited,
    WorkerStopping,
)
from orchestrator.interfaces.agent import AgentBackend, AgentJob, KeepsSessions
from orchestrator.leases.holder import AgentLeases
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.secretscan.scanner import masked
from orchestrator.settings import Settings
from orchestrator.stages.spawn.capture import ChangeCapture
from orchestrator.stages.spawn.context import ProgramContext, RunContext
from orchestrator.stages.spawn.executor import AgentExecutor
from orchestrator.stages.spawn.monitors.disk import has_room
from orchestrator.stages.spawn.resume import ResumePoint, resume_point
from orchestrator.store import agents, changes
from orchestrator.store.sessions import keep_session
from orchestrator.workspace.clone import Workspace, Workspaces
from orchestrator.workspace.disk import naming_full_disk
from orchestrator.workspace.mirror import Base, Mirrors

#: Below this the disk counts as full when an agent fails.
DISK_FULL_BYTES = 64 * 1024

log = get_logger("runner")


@dataclass(frozen=True)
class SpawnStage:
    """The spawn pool's work."""

    holder: AgentLeases
    mirrors: Mirrors
    workspaces: Workspaces
    backends: Callable[[str], AgentBackend]
    executor: AgentExecutor
    capture: ChangeCapture
    settings: Settings

    def run(self, agent_id: str) -> None:
        """Run the agent if it waits for a worker; every end is written into its state."""
        if not has_room(self.workspaces, self.holder, agent_id):
            return
        agent = self.holder.claim(agent_id)
        if agent is None:
            return
        with self.holder.holding(agent) as lease:
            self._work(agent, lease)

    def _work(self, agent: AgentState, lease: Lease) -> None:
        backend = self.backends(agent.agent)
        store = self.holder.store
        request = store.run(agents.read_request(agent.agent_id))
        start = store.follow(resume_point(agent))
        base = self._base(agent)
        with self._workspace(base, agent, start) as workspace:
            lease.check()
            job = AgentJob(
                agent_id=agent.agent_id,
                agent_type=agent.agent_type,
                work_items=request.context.work_items,
                skills=request.context.skills,
                worktree=workspace.worktree,
                home=workspace.home,
                session_id=agent.session_id,
                feedback=start.feedback,
            )
            if isinstance(backend, KeepsSessions):
                with naming_full_disk(workspace.root):
                    backend.import_session(job, start.session)
            transcript = OutputReader(
                backend,
                clock=self.holder.clock,
                secrets=self.settings.secrets,
                line_limit_bytes=self.settings.line_limit_bytes,
                mask=masked,
            )

            programs = ProgramContext(self.settings, agent, workspace, base)

            def checkpoint() -> None:
                self.capture.checkpoint(programs, lease)
                self._keep_session(agent, backend, workspace, transcript)

            context = RunContext(programs, lease, backend, job, transcript, checkpoint)
            try:
                self.executor.execute(context)
                bundle = self.capture.capture(programs, lease)
            except (WorkerStopping, ProviderLimited):
                self.capture.save(programs, lease)
                self._keep_session(agent, backend, workspace, transcript)
                raise
            except (AgentKilled, AgentFailed):
                self.capture.save(programs, lease)
                raise
            lease.check()
            store.run(changes.put_change(agent.agent_id, agent.attempt, bundle))
            self._keep_session(agent, backend, workspace, transcript)
            self.holder.enqueue_for_gates(agent, context.facts())

    def _base(self, agent: AgentState) -> Base:
        """Return where the agent starts; every round of it starts from the same commit."""
        if agent.base_commit:
            return self.mirrors.at(agent.repository, agent.base_branch, agent.base_commit)
        return self.mirrors.refresh(agent.repository, agent.base_branch)

    def _keep_session(
        self,
        agent: AgentState,
        backend: AgentBackend,
        workspace: Workspace,
        transcript: OutputReader,
    ) -> None:
        session_id = transcript.session_id
        if session_id and isinstance(backend, KeepsSessions):
            session = backend.export_session(workspace.home, session_id)
            self.holder.store.follow(
                keep_session(
                    agent.agent_id,
                    agent.attempt,
                    session_id,
                    session,
                    now=self.holder.clock(),
                )
            )

    @contextmanager
    def _workspace(self, base: Base, agent: AgentState, start: ResumePoint) -> Iterator[Workspace]:
        try:
            with self.workspaces.kept(agent.agent_id):
                try:
                    yield self.workspaces.create(
                        base,
                        agent.agent_id,
                        change=start.change,
                        is_uncommitted=start.is_uncommitted,
                    )
                except AgentFailed as error:
                    if (free := self.workspaces.free_bytes()) < DISK_FULL_BYTES:
                        msg = f"The workspace's disk is full ({free} bytes free). {error.detail}"
                        raise DiskFull(msg) from error
                    raise
        finally:
            try:
                self.workspaces.remove(agent.agent_id)
            except GitFailed as error:
                # Not the agent's end: its cleanup task tries again.
                log.warning("not removed", agentId=agent.agent_id, error=str(error))
