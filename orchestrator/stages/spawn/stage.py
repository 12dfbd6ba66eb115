"""The spawn stage: runs one agent from its claim to its captured change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from orchestrator.agent_output.reader import OutputReader
from orchestrator.errors import (
    AgentFailed,
    DiskFull,
    GitFailed,
    OrchestratorError,
    RecordMalformed,
    SessionLost,
    StoreRefused,
    StoreUnreachable,
)
from orchestrator.interfaces.agent import AgentBackend, AgentJob, KeepsSessions
from orchestrator.interfaces.model_price import prices_of
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.leases.attempt_result import EnqueueForGates
from orchestrator.leases.lease import Lease
from orchestrator.log import get_logger
from orchestrator.maintenance.work_saver import WorkSaver
from orchestrator.models import AgentState
from orchestrator.models.warning import AgentWarning, WarningCode
from orchestrator.repo_config import CONFIG_FILES, read_repo_config
from orchestrator.secretscan.scanner import masked
from orchestrator.settings import Settings
from orchestrator.stages.spawn import resume
from orchestrator.stages.spawn.agent_config import naming_restrictions
from orchestrator.stages.spawn.capture import ChangeCapture
from orchestrator.stages.spawn.context import ProgramContext, RunContext
from orchestrator.stages.spawn.executor import AgentExecutor
from orchestrator.stages.spawn.models import RepositoryModel, backend_of
from orchestrator.stages.spawn.monitors.disk import has_space
from orchestrator.stages.spawn.resume import ResumePoint, fresh_feedback, resume_point
from orchestrator.store import agents, changes, unreadable
from orchestrator.store.capture_reports import record_apart, record_continued
from orchestrator.store.sessions import keep_session
from orchestrator.workspace.bundle import tip_of
from orchestrator.workspace.clone import EARLIER, Workspaces
from orchestrator.workspace.disk import fullness, naming_full_disk
from orchestrator.workspace.mirror import Base, Mirrors
from orchestrator.workspace.push import Remote
from orchestrator.workspace.push_target import push_target
from orchestrator.workspace.worktree import Workspace

#: The errors of a backend that reads or writes a malformed session.
_BAD_SESSION = (OSError, ValueError, LookupError, TypeError, AttributeError)

log = get_logger("runner")


@dataclass
class _Attempt:
    """One attempt in its workspace, and the progress of its work."""

    programs: ProgramContext
    lease: Lease
    backend: AgentBackend
    start: ResumePoint
    transcript: OutputReader | None = None
    #: The captured change, and whether it is stored.
    bundle: bytes | None = None
    is_stored: bool = False
    #: Whether all work in the workspace has been saved.
    is_saved: bool = False


@dataclass(frozen=True)
class SpawnStage:
    """Runs agents for the spawn pool."""

    holder: AgentLeases
    mirrors: Mirrors
    workspaces: Workspaces
    backends: Callable[[str], AgentBackend]
    executor: AgentExecutor
    capture: ChangeCapture
    work_saver: WorkSaver
    settings: Settings
    #: Checks the branch of the delivery in advance.
    remote: Remote | None = None

    def run(self, agent_id: str) -> None:
        """Claim and run the agent; write every result, errors included, to its state.

        An agent that does not wait for a worker is ignored.
        """
        try:
            if not has_space(self.workspaces, self.holder, agent_id):
                return
            agent = self.holder.claim(agent_id)
        except RecordMalformed as error:
            # In the line for slots it would stand before agents that can start.
            log.warning("record not read", agentId=agent_id, reason=str(error))
            self.holder.store.follow(unreadable.leave_line(agent_id, now=self.holder.clock()))
            return
        if agent is None:
            return
        with self.holder.holding(agent) as lease:
            self.holder.apply(agent, self._work(agent, lease))

    def _work(self, agent: AgentState, lease: Lease) -> EnqueueForGates:
        backend = backend_of(agent, self.backends)
        store = self.holder.store
        request = store.run(agents.read_request(agent.agent_id))
        base = self._base(agent)
        self._check_target(agent, base)
        repository = RepositoryModel(self.holder, self.mirrors, self.settings)
        agent = repository.applied(agent, request, base, backend)
        with self._attempt(base, agent, lease, backend) as attempt:
            lease.check()
            workspace = attempt.programs.workspace
            job = AgentJob(
                agent_id=agent.agent_id,
                agent_type=agent.agent_type,
                work_items=request.context.work_items,
                skills=request.context.skills,
                worktree=workspace.worktree,
                home=workspace.home,
                session_id=agent.session_id,
                feedback=attempt.start.feedback,
                model_name=agent.model,
                effort=agent.effort,
            )
            context = self._execute(attempt, self._with_session(attempt, job))
            with naming_restrictions(backend, self.mirrors, base):
                attempt.bundle = self.capture.capture(attempt.programs, lease)
            lease.check()
            put = changes.put_change(agent.agent_id, agent.attempt, attempt.bundle)
            store.follow(put, check=lease.check_held)
            attempt.is_stored = True
            self._keep_session(attempt, check=lease.check_held)
        return EnqueueForGates(attempt.bundle, context.facts())

    def _base(self, agent: AgentState) -> Base:
        """Return the base of the agent; every rework round starts from the same commit."""
        if agent.base_commit:
            return self.mirrors.at(agent.repository, agent.base_branch, agent.base_commit)
        return self.mirrors.refresh(agent.repository, agent.base_branch)

    def _check_target(self, agent: AgentState, base: Base) -> None:
        """Check, before the first attempt, that the agent's branch can be pushed.

        Raises:
            BranchBlocked: a branch of the remote excludes it.
            PushRefused: the remote takes no push from this host.
            RepoConfigInvalid: the configuration of the base commit is malformed.
        """
        if self.remote is None or agent.base_commit or self.settings.delivery != "branch":
            return
        config = read_repo_config(self.mirrors.read_some(base, CONFIG_FILES).get)
        target = push_target(self.settings, config, agent.repository)
        self.remote.check(base, target.address, agent.agent_id, prefix=target.prefix)

    # ── its program ─────────────────────────────────────────────────────────────────────────

    def _execute(self, attempt: _Attempt, job: AgentJob) -> RunContext:
        """Run the agent to its end; if its session cannot be resumed, run a fresh one once.

        Raises:
            AgentFailed: the agent failed; also the other errors of `AgentExecutor.execute`.
        """
        context = self._run_context(attempt, job)
        try:
            self.executor.execute(context)
        except SessionLost as lost:
            context = self._run_context(
                attempt, self._forget_session(attempt, job, lost), before=context
            )
            self.executor.execute(context)
        return context

    def _run_context(
        self, attempt: _Attempt, job: AgentJob, before: RunContext | None = None
    ) -> RunContext:
        programs = attempt.programs
        if before is not None:
            # A new reader counts from 0, so the tokens of the first run are added here.
            now_is = self.holder.store.run(agents.read(job.agent_id))
            usage = before.agent.usage.plus(before.transcript.spent)
            facts = {"usage": usage, **before.agent.fence}
            programs = replace(programs, agent=now_is.model_copy(update=facts))
        transcript = attempt.transcript = OutputReader(
            attempt.backend,
            clock=self.holder.clock,
            secrets=self.settings.secrets,
            line_limit_bytes=self.settings.line_limit_bytes,
            mask=masked,
            most_tokens=self.settings.message_tokens,
            price_of=prices_of(self.settings, attempt.backend, job.model_name),
        )

        for one in () if before else self.workspaces.without_content(programs.base):
            text = f"The submodule {one.path} is an empty folder: {one.reason}."
            transcript.record(text, source="workspace")

        def checkpoint() -> None:
            self.capture.checkpoint(attempt.programs, attempt.lease)
            self._keep_session(attempt, check=attempt.lease.check_held)

        parts = (attempt.lease, attempt.backend, job, transcript, checkpoint)
        return RunContext(programs, *parts, is_prepared=before is not None)

    # ── its session ─────────────────────────────────────────────────────────────────────────

    def _with_session(self, attempt: _Attempt, job: AgentJob) -> AgentJob:
        """Import the session of earlier attempts, if the backend stores sessions in files."""
        session = attempt.start.session
        if lost := resume.session_elsewhere(attempt.programs.agent):
            return self._forget_session(attempt, job, lost)
        if not job.session_id or not isinstance(attempt.backend, KeepsSessions):
            return job
        if not session:
            return self._forget_session(attempt, job, SessionLost("Its session was not saved."))
        try:
            with naming_full_disk(attempt.programs.workspace.root):
                attempt.backend.import_session(job, session)
        except _BAD_SESSION as error:
            lost = SessionLost(f"Its session cannot be imported ({error!r}).")
            return self._forget_session(attempt, job, lost)
        return job

    def _forget_session(self, attempt: _Attempt, job: AgentJob, lost: SessionLost) -> AgentJob:
        """Continue without the earlier session; the feedback describes the work so far."""
        agent = attempt.programs.agent
        self.holder.update(agent, {"sessionId": None, "sessionAgent": None})
        text = f"{lost.detail} A fresh session continues with the work, the findings and the items."
        self.holder.warn(agent, AgentWarning(code=WarningCode.SESSION_LOST, text=text))
        reported = fresh_feedback(agent, job.feedback, attempt.programs.base.commit)
        return replace(job, session_id=None, feedback=reported)

    def _keep_session(self, attempt: _Attempt, *, check: Callable[[], None] = lambda: None) -> None:
        """Store the session; `check` is called between two calls, and may end this."""
        transcript, agent = attempt.transcript, attempt.programs.agent
        session_id = transcript.session_id if transcript else None
        if not session_id or not isinstance(attempt.backend, KeepsSessions):
            return
        try:
            session = attempt.backend.export_session(attempt.programs.workspace.home, session_id)
        except _BAD_SESSION as error:
            # The change is saved all the same; the next attempt uses it in a fresh session.
            log.warning("session not saved", agentId=agent.agent_id, reason=repr(error))
            return
        now = self.holder.clock()
        step = keep_session(agent.agent_id, agent.attempt, session_id, session, now=now)
        self.holder.store.follow(step, check=check)

    # ── its workspace ───────────────────────────────────────────────────────────────────────

    @contextmanager
    def _attempt(
        self, base: Base, agent: AgentState, lease: Lease, backend: AgentBackend
    ) -> Iterator[_Attempt]:
        """Create the attempt's workspace; on exit save its work, then remove it."""
        agent_id = agent.agent_id
        attempt: _Attempt | None = None
        try:
            with self.workspaces.held(agent_id):
                # A lost attempt may have left work on this host that is not stored yet.
                self.work_saver.save_left(agent_id)
                self.work_saver.review(agent_id)
                start = self.holder.store.follow(resume_point(agent), check=lease.check)
                workspace = self.workspaces.create(
                    base,
                    agent_id,
                    attempt=agent.attempt,
                    change=start.change,
                    is_uncommitted=start.is_uncommitted,
                    may_be_refused=True,
                )
                self._record_start(agent_id, start, workspace)
                programs = ProgramContext(self.settings, agent, workspace, base)
                attempt = _Attempt(programs, lease, backend, start)
                with self._keeping(attempt):
                    yield attempt
        finally:
            if attempt is None or attempt.is_saved:
                self._remove(agent_id)

    def _record_start(self, agent_id: str, start: ResumePoint, workspace: Workspace) -> None:
        """Record whether the workspace contains the work from which the attempt continues."""
        if start.change is not None:
            is_refused = (workspace.tmp / EARLIER).exists()
            record = record_apart if is_refused else record_continued
            self.holder.store.run(record(agent_id, start.attempt, tip_of(start.change)))

    @contextmanager
    def _keeping(self, attempt: _Attempt) -> Iterator[None]:
        try:
            with self._naming_full_disk():
                yield
        except Exception as error:
            self._keep(attempt, error)
            raise
        else:
            attempt.is_saved = True
        finally:
            # Otherwise this process is being ended, and the host cleaner saves the work later.
            if attempt.is_saved:
                self.workspaces.mark_saved(attempt.programs.agent.agent_id)

    def _keep(self, attempt: _Attempt, error: Exception) -> None:
        """Save the work of an attempt that ended with an error; a failure of it is only logged."""
        programs, lease = attempt.programs, attempt.lease
        try:
            if lease.is_killed:
                # The kill is confirmed first, because saving the work may take minutes.
                self.holder.confirmation.confirm(lease)
            elif isinstance(error, OrchestratorError) and error.retryable:
                self._keep_session(attempt)
        except Exception:  # as the docstring says; the work is saved all the same
            log.exception("end not reported", agentId=programs.agent.agent_id)
        attempt.is_saved = attempt.is_stored or self.work_saver.keep(
            programs.agent, programs.workspace, programs.base, attempt.bundle
        )

    @contextmanager
    def _naming_full_disk(self) -> Iterator[None]:
        try:
            yield
        except AgentFailed as error:
            if full := fullness(self.settings.workspaces_dir):
                msg = f"The workspace's disk is full ({full}). {error.detail}"
                raise DiskFull(msg) from error
            raise

    def _remove(self, agent_id: str) -> None:
        try:
            self.work_saver.remove(agent_id)
        except (GitFailed, StoreUnreachable, StoreRefused) as error:
            # This error does not fail the agent, because its cleanup task tries again.
            log.warning("not removed", agentId=agent_id, error=str(error))
