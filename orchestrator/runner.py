"""Runs one agent from its claim to its captured change, and hands it to the gates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread

from orchestrator.budget import Budget
from orchestrator.commands import TICK_S
from orchestrator.continuation import Opening, opening
from orchestrator.egress.service import Egress
from orchestrator.errors import (
    AgentCrashed,
    AgentFailed,
    AgentKilled,
    AgentTimedOut,
    BudgetExceeded,
    DiskFull,
    GitFailed,
    MeterSilent,
    NotFound,
    ProviderLimited,
    SandboxLimit,
    TransitionRefused,
    WorkerStopping,
)
from orchestrator.harvest import Harvest
from orchestrator.lifecycle import agents
from orchestrator.lifecycle.holder import Holder
from orchestrator.lifecycle.lease import Lease
from orchestrator.log import get_logger
from orchestrator.metering import TimeWatch, TokenWatch
from orchestrator.models import AgentState
from orchestrator.overlap import Overlap
from orchestrator.ports import (
    AgentBackend,
    AgentJob,
    KeepsSessions,
    Sandbox,
    SandboxProcess,
)
from orchestrator.preparation import PREPARED_BY, Preparation
from orchestrator.quota import QuotaWatch
from orchestrator.secretscan.scanner import masked
from orchestrator.settings import Settings
from orchestrator.stall import StallWatch
from orchestrator.store import changes
from orchestrator.store.sessions import keep_session
from orchestrator.store.streams import append_log
from orchestrator.surroundings import Surroundings
from orchestrator.transcript import Transcript
from orchestrator.wayout import WayOut, way_out
from orchestrator.workspace.clone import Workspace, Workspaces
from orchestrator.workspace.disk import naming_full_disk
from orchestrator.workspace.mirror import Base, Mirrors

#: Output goes to Valkey at least this often.
FLUSH_EVERY_S = 0.5
#: A SIGTERM is followed by SIGKILL after this (CONTRACT.md).
GRACE_S = 10.0
#: Below this the disk counts as full when an agent fails.
DISK_FULL_BYTES = 64 * 1024

#: No agent is started on a disk below its low-water mark; one that waits looks again after this.
LOW_DISK_PAUSE_S = 30.0

log = get_logger("runner")


@dataclass(frozen=True)
class Runner:
    """The spawn pool's work."""

    holder: Holder
    mirrors: Mirrors
    workspaces: Workspaces
    backends: Callable[[str], AgentBackend]
    sandbox: Sandbox
    harvest: Harvest
    budget: Budget
    egress: Egress
    settings: Settings

    def run(self, agent_id: str) -> None:
        """Run the agent if it waits for a worker; every end is written into its state."""
        if lack := self.workspaces.lacks_room():
            self._put_back(agent_id, lack)
            return
        agent = self.holder.claim(agent_id)
        if agent is None:
            return
        with self.holder.holding(agent) as lease:
            self._work(agent, lease)

    def _put_back(self, agent_id: str, why: str) -> None:
        store, now = self.holder.store, self.holder.clock()
        try:
            agent = store.run(agents.read(agent_id))
            until = now + timedelta(seconds=LOW_DISK_PAUSE_S)
            store.run(agents.delay(agent, until=until, now=now, why=why))
        except (TransitionRefused, NotFound) as refusal:
            log.info("message dropped", agentId=agent_id, reason=str(refusal))
        else:
            log.warning("put back", agentId=agent_id, reason=why)

    def _work(self, agent: AgentState, lease: Lease) -> None:
        backend = self.backends(agent.agent)
        store = self.holder.store
        request = store.run(agents.read_request(agent.agent_id))
        start = store.follow(opening(agent))
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
                    backend.put_session(job, start.session)
            transcript = Transcript(
                backend,
                clock=self.holder.clock,
                secrets=self.settings.secrets,
                line_limit_bytes=self.settings.line_limit_bytes,
                mask=masked,
            )

            there = Surroundings(self.settings, agent, workspace, base)

            def checkpoint() -> None:
                self.harvest.checkpoint(there, lease)
                self._keep_session(agent, backend, workspace, transcript)

            try:
                self._play(there, lease, backend, job, transcript, checkpoint)
                bundle = self.harvest.capture(there, lease)
            except (WorkerStopping, ProviderLimited):
                self.harvest.save(there, lease)
                self._keep_session(agent, backend, workspace, transcript)
                raise
            except (AgentKilled, AgentFailed):
                self.harvest.save(there, lease)
                raise
            lease.check()
            store.run(changes.put_change(agent.agent_id, agent.attempt, bundle))
            self._keep_session(agent, backend, workspace, transcript)
            self.holder.hand_over(agent, self._facts(agent, transcript))

    def _play(
        self,
        there: Surroundings,
        lease: Lease,
        backend: AgentBackend,
        job: AgentJob,
        transcript: Transcript,
        checkpoint: Callable[[], None],
    ) -> None:
        """Run the agent's program, between its hooks, to its end; nothing of it is left then."""
        try:
            with way_out(self.egress, self.holder, there, transcript) as out:
                self._play_inside(out, there, lease, backend, job, checkpoint)
        finally:
            self._flush(there.agent, transcript)

    def _play_inside(
        self,
        out: WayOut,
        there: Surroundings,
        lease: Lease,
        backend: AgentBackend,
        job: AgentJob,
        checkpoint: Callable[[], None],
    ) -> None:
        agent, base, transcript = there.agent, there.base, out.transcript
        reaching = out.leading_from(there)
        launch = backend.launch(out.told(job))
        spec = reaching.program(
            launch.argv, env=launch.env, stdin=launch.stdin, readable=launch.readable
        )
        preparation = Preparation(
            self.sandbox,
            reaching,
            lease,
            self.mirrors.read_some(base, PREPARED_BY).get,
            lambda line: transcript.note(line, source="hook"),
        )
        preparation.include()
        preparation.run("after_create")
        preparation.run("before_run")
        with self.sandbox.start(spec) as process:
            agent = agent.model_copy(update={"sandbox": self.sandbox.level})
            agent = self.holder.start(agent, base_commit=base.commit)
            # Beside the agent's work: it saves the next spawn the checkout.
            Thread(target=self.workspaces.prepare_spare, args=(base,), daemon=True).start()
            overlap = Overlap(self.holder, agent, job.worktree)
            quota = QuotaWatch(there.workspace.root, self.settings.disk_quota_bytes)
            try:
                looks = (out.look, overlap.look, quota.look)
                self._watch(agent, lease, process, transcript, backend, looks, checkpoint)
            finally:
                overlap.forget()
        preparation.run("after_run")

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
        transcript: Transcript,
    ) -> None:
        session_id = transcript.session_id
        if session_id and isinstance(backend, KeepsSessions):
            session = backend.take_session(workspace.home, session_id)
            self.holder.store.follow(
                keep_session(
                    agent.agent_id,
                    agent.attempt,
                    session_id,
                    session,
                    now=self.holder.clock(),
                )
            )

    def _watch(
        self,
        agent: AgentState,
        lease: Lease,
        process: SandboxProcess,
        transcript: Transcript,
        backend: AgentBackend,
        looks: tuple[Callable[[], None], ...],
        checkpoint: Callable[[], None],
    ) -> None:
        """Follow the agent to its end; what it said is in its log whatever that end is."""
        tokens = TokenWatch(
            self.holder,
            self.settings,
            agent,
            lease,
            transcript,
            lambda: self._facts(agent, transcript),
            backend.reports_usage,
        )
        clock = TimeWatch(self.holder, self.budget, agent)
        stall = StallWatch(self.holder, self.settings, agent)
        flush_at = 0.0
        checkpoint_at = time.monotonic() + self.settings.checkpoint_s
        try:
            while process.exit_code is None:
                for chunk in process.read(TICK_S):
                    transcript.feed(chunk)
                tokens.look()
                lease.check()
                if time.monotonic() >= flush_at:
                    self._flush(agent, transcript)
                    flush_at = time.monotonic() + FLUSH_EVERY_S
                if time.monotonic() >= checkpoint_at:
                    checkpoint()
                    checkpoint_at = time.monotonic() + self.settings.checkpoint_s
                for look in looks:
                    look()
                stall.look(process, transcript)
                clock.look()
            while chunks := process.read(0):
                for chunk in chunks:
                    transcript.feed(chunk)
            transcript.finish()
            tokens.look()
            self._judge(process, transcript, backend)
        except (BudgetExceeded, MeterSilent):
            # At once: what it says from here on costs, too.
            process.kill()
            raise
        except AgentTimedOut:
            self._stop(process)
            raise
        finally:
            self._flush(agent, transcript)

    def _judge(
        self, process: SandboxProcess, transcript: Transcript, backend: AgentBackend
    ) -> None:
        result = transcript.result
        if result is not None and result.is_limited:
            limited = ProviderLimited(f"The model's provider takes no more: {result.summary}")
            limited.resets_at_s = transcript.limit_resets_at_s
            raise limited
        if process.limit_hit:
            msg = f"The agent reached {process.limit_hit}."
            raise SandboxLimit(msg)
        exit_code = process.exit_code or 0
        if exit_code < 0:
            msg = f"The agent was ended by signal {-exit_code}."
            raise AgentCrashed(msg)
        if exit_code > 0:
            said = f" It said: {result.summary}" if result and not result.ok else ""
            msg = f"The agent ended with exit code {exit_code}.{said}"
            raise AgentFailed(msg)
        if result is None and backend.reports_result:
            msg = "The agent ended without a result."
            raise AgentFailed(msg)
        if result is not None and not result.ok:
            msg = f"The agent gave up: {result.summary}"
            raise AgentFailed(msg)

    def _stop(self, process: SandboxProcess) -> None:
        process.terminate()
        deadline = time.monotonic() + GRACE_S
        while process.exit_code is None and time.monotonic() < deadline:
            process.read(TICK_S)
        process.kill()

    def _flush(self, agent: AgentState, transcript: Transcript) -> None:
        lines = transcript.take_lines()
        if not lines:
            return
        cap = self.settings.log_lines
        self.holder.store.run(append_log(agent.agent_id, agent.attempt, lines, cap=cap))
        try:
            self.holder.update(agent, self._facts(agent, transcript))
        except TransitionRefused as refusal:
            # Ended by another meanwhile: the lease tells at its next check.
            log.info("facts dropped", agentId=agent.agent_id, reason=str(refusal))

    def _facts(self, agent: AgentState, transcript: Transcript) -> dict[str, object]:
        # `agent` is as it was when this attempt began: earlier rounds' tokens, none of its own.
        facts: dict[str, object] = {"usage": agent.usage.plus(transcript.spent).wire()}
        if transcript.session_id:
            facts["sessionId"] = transcript.session_id
        if transcript.result:
            facts["summary"] = transcript.summary
        return facts

    @contextmanager
    def _workspace(self, base: Base, agent: AgentState, start: Opening) -> Iterator[Workspace]:
        try:
            with self.workspaces.kept(agent.agent_id):
                try:
                    yield self.workspaces.create(
                        base,
                        agent.agent_id,
                        change=start.change,
                        is_taken_apart=start.is_taken_apart,
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
