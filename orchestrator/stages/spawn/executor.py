"""Executes one agent's program to its end: hooks, start in the sandbox, monitors, result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from threading import Thread

from orchestrator.agent_output.reader import OutputReader
from orchestrator.egress.proxies import EgressProxies
from orchestrator.errors import (
    AgentCrashed,
    AgentFailed,
    AgentGarbled,
    AgentStalled,
    AgentTimedOut,
    BudgetExceeded,
    HookFailed,
    HooksInvalid,
    PriceUnknown,
    ProviderLimited,
    SandboxLimit,
    SandboxLost,
    SessionLost,
    StoreRefused,
    TransitionRefused,
    UsageReportsMissing,
)
from orchestrator.interfaces.agent import AgentBackend
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.run import TICK_S
from orchestrator.interfaces.sandbox import Chunk, Sandbox, SandboxProcess
from orchestrator.leases.agent_leases import AgentLeases
from orchestrator.log import get_logger
from orchestrator.models import AgentState
from orchestrator.settings import Settings
from orchestrator.stages.spawn.agent_config import remove_planted, report_agent_config
from orchestrator.stages.spawn.context import RunContext
from orchestrator.stages.spawn.egress import EgressSession, egress_session
from orchestrator.stages.spawn.environment import SpawnEnvironment
from orchestrator.stages.spawn.hooks import PREPARED_BY, WorkspaceHooks
from orchestrator.stages.spawn.monitors import Monitor
from orchestrator.stages.spawn.monitors.checkpoints import CheckpointMonitor
from orchestrator.stages.spawn.monitors.disk import DiskMonitor
from orchestrator.stages.spawn.monitors.overlap import OverlapMonitor
from orchestrator.stages.spawn.monitors.result_grace import ResultGrace
from orchestrator.stages.spawn.monitors.stall import StallMonitor
from orchestrator.stages.spawn.monitors.time import TimeMonitor
from orchestrator.stages.spawn.monitors.tokens import TokenMonitor
from orchestrator.store.agent_logs import append_lines
from orchestrator.store.patience import not_waiting_for_space
from orchestrator.workspace.mirror import Base, Mirrors

#: The output of a running agent is written to Valkey at this interval.
FLUSH_EVERY_S = 0.5
#: The time from SIGTERM to SIGKILL (CONTRACT.md).
GRACE_S = 10.0

#: Errors of a limit or a hook; a fresh session would not avoid them.
_NOT_THE_SESSIONS = (
    *(AgentTimedOut, AgentStalled, BudgetExceeded, PriceUnknown, UsageReportsMissing),
    *(ProviderLimited, HookFailed, HooksInvalid),
)

log = get_logger("executor")


@dataclass(frozen=True)
class AgentExecutor:
    """Executes the programs of agents; no process is left when a method returns or raises."""

    holder: AgentLeases
    mirrors: Mirrors
    sandbox: Sandbox
    egress: EgressProxies
    settings: Settings
    environment: SpawnEnvironment
    #: Prepares a workspace in advance for the next spawn from the same commit.
    prepare_spare: Callable[[Base], None]

    def execute(self, context: RunContext) -> None:
        """Run the hooks and the agent's program to the end.

        Raises:
            SessionLost: the program failed to resume a session before its model replied.
            AgentFailed: the agent failed; also the errors of `Lease.check`, the monitors and the
                hooks.
        """
        try:
            with (
                egress_session(
                    self.egress, self.holder, context.programs, context.transcript
                ) as egress,
                self.environment.held(context) as environment,
            ):
                self._execute_inside(context, egress, environment)
        except AgentFailed as error:
            if not _is_the_sessions(error, context):
                raise
            msg = f"Its session {context.job.session_id} cannot be resumed. {error.detail}"
            raise SessionLost(msg) from error
        finally:
            self._flush(context)

    def _execute_inside(
        self, context: RunContext, egress: EgressSession, environment: Environment | None
    ) -> None:
        base = context.programs.base
        programs = replace(egress.leading_from(context.programs), environment=environment)
        launch = context.backend.launch(egress.job_with_model(context.job))
        spec = programs.program(
            launch.argv, env=launch.env, stdin=launch.stdin, readable=launch.readable
        )
        preparation = WorkspaceHooks(
            self.sandbox,
            programs,
            context.lease,
            self.mirrors.read_some(base, PREPARED_BY).get,
            lambda line: context.transcript.record(line, source="hook"),
        )
        if not context.is_prepared:
            preparation.include()
            preparation.run("after_create")
        preparation.run("before_run")
        remove_planted(programs.workspace, launch.absent)
        begun_ns = time.time_ns()
        with self.sandbox.start(spec) as process:
            agent = context.agent.model_copy(update={"sandbox": self.sandbox.level})
            agent = self.holder.start(agent, base_commit=base.commit)
            report_agent_config(context, self.holder, agent, self.mirrors.paths(base))
            # A thread does this while the agent works, so the next spawn needs no checkout.
            Thread(target=self.prepare_spare, args=(base,), daemon=True).start()
            settings, transcript = self.settings, context.transcript
            overlap = OverlapMonitor(self.holder, agent, context.job.worktree, begun_ns)
            working_time = TimeMonitor(self.holder, settings, agent)
            monitors: tuple[Monitor, ...] = (
                egress,
                overlap,
                DiskMonitor(
                    programs.workspace.root,
                    settings.disk_quota_bytes,
                    programs.workspace.layers,
                ),
                CheckpointMonitor(context, every_s=settings.checkpoint_s),
                StallMonitor(self.holder, settings, agent, process, transcript),
                working_time,
            )
            try:
                self._watch(context, agent, process, monitors, egress)
                working_time.record()
            finally:
                overlap.forget()
        preparation.run("after_run")

    def _watch(
        self,
        context: RunContext,
        agent: AgentState,
        process: SandboxProcess,
        monitors: tuple[Monitor, ...],
        egress: EgressSession,
    ) -> None:
        """Read the output and run the monitors until the agent ends.

        The log contains all output, however the agent ends.
        """
        transcript = context.transcript
        tokens = TokenMonitor(
            self.holder,
            self.settings,
            agent,
            context.lease,
            transcript,
            context.facts,
            context.backend.reports_usage,
            egress.requests,
        )
        grace = ResultGrace(transcript, self.settings.result_grace_s, lambda: egress.is_busy)

        # One chunk may report more tokens than the day's limit, so they are charged at once.
        transcript.on_much_spent = tokens.check
        is_ended = False
        flush_at = 0.0
        try:
            while process.exit_code is None:
                _feed(transcript, process.read(TICK_S))
                tokens.check()
                context.lease.check()
                if time.monotonic() >= flush_at:
                    self._flush(context)
                    flush_at = time.monotonic() + FLUSH_EVERY_S
                for monitor in monitors:
                    monitor.check()
                if grace.is_over():
                    is_ended = True
                    transcript.record("its result is there, and it does not end by itself: ended")
                    _stop(process, transcript, context.lease.check)
            while chunks := process.read(0):
                _feed(transcript, chunks)
            _await_answers(egress, (tokens, context.lease, *monitors))
            transcript.finish()
            tokens.check()
        except (AgentTimedOut, AgentStalled, UsageReportsMissing, SandboxLost) as error:
            is_ended = True
            transcript.on_much_spent = _nothing
            self._end_for(error, process, context)
        except (BudgetExceeded, PriceUnknown):
            # Without a grace period: further output would cost further tokens.
            process.kill()
            raise
        finally:
            self._flush(context)
        try:
            _check_end(process, transcript, context.backend, is_ended=is_ended)
        finally:
            self._flush(context)

    def _end_for(
        self,
        error: AgentTimedOut | AgentStalled | UsageReportsMissing | SandboxLost,
        process: SandboxProcess,
        context: RunContext,
    ) -> None:
        """End a program because of a monitor's or its sandbox's error.

        Raises:
            OrchestratorError: the given error, unless the agent had already given a good result.
        """
        transcript = context.transcript
        if isinstance(error, AgentTimedOut) or _is_done(transcript):
            _stop(process, transcript, context.lease.check)
        else:
            # Without a grace period: further output would cost further tokens.
            process.kill()
        transcript.finish()
        if not _is_done(transcript):
            raise error
        transcript.record(f"ended after its result: {error}")

    def _flush(self, context: RunContext) -> None:
        lines = context.transcript.drain_lines()
        if not lines:
            return
        agent, kept = context.agent, self.settings
        step = append_lines(
            agent.agent_id, agent.attempt, lines, cap=kept.log_lines, most_bytes=kept.log_bytes
        )
        try:
            with not_waiting_for_space():
                self.holder.store.follow(step)
        except StoreRefused as refusal:
            # A log is no reason to end its agent, or to stop reading its output.
            context.transcript.dropped_lines.add(len(lines))
            log.warning("log lines dropped", agentId=agent.agent_id, reason=str(refusal))
        try:
            self.holder.update(agent, context.facts())
        except TransitionRefused as refusal:
            # Another process has ended the agent; the next check of the lease raises.
            log.info("facts dropped", agentId=agent.agent_id, reason=str(refusal))


def _await_answers(egress: EgressSession, monitors: tuple[Monitor, ...]) -> None:
    """Wait until the proxy has read every response of the model; run the monitors meanwhile."""
    while egress.is_busy:
        time.sleep(TICK_S)
        for monitor in monitors:
            monitor.check()


def _is_the_sessions(error: AgentFailed, context: RunContext) -> bool:
    """Return whether a fresh session may avoid the error of a resumed session."""
    if context.job.session_id is None or isinstance(error, _NOT_THE_SESSIONS):
        return False
    transcript = context.transcript
    # A program may print its own error as a message of its model; such a message has no tokens.
    costs_nothing = context.backend.reports_usage and not transcript.meter.total.total_tokens
    return not transcript.words or costs_nothing


def _nothing() -> None:
    return


def _feed(transcript: OutputReader, chunks: Iterable[Chunk]) -> None:
    for chunk in chunks:
        transcript.feed(chunk)


def _is_done(transcript: OutputReader) -> bool:
    return transcript.result is not None and transcript.result.ok


def _check_end(
    process: SandboxProcess, transcript: OutputReader, backend: AgentBackend, *, is_ended: bool
) -> None:
    """Return if the agent succeeded, by its result or, without a result, by its exit code.

    A good result counts more than the exit code after it, because the gates check the change.
    With `is_ended` the orchestrator ended the program, and its exit code is ignored.

    Raises:
        AgentFailed: the agent failed; a subclass names the cause.
    """
    result, exit_code = transcript.result, 0 if is_ended else process.exit_code or 0
    limit_hit = None if is_ended else process.limit_hit
    if result is not None and result.ok:
        if exit_code or limit_hit:
            how = limit_hit or f"exit code {exit_code}"
            transcript.record(f"ended after its result with {how}: the result counts")
            log.warning("ended badly after a good result", how=how)
        return
    if result is not None and result.is_limited:
        limited = ProviderLimited(f"The model's provider takes no more: {result.summary}")
        limited.resets_at_s = transcript.limit_resets_at_s
        raise limited
    if limit_hit:
        msg = f"The agent reached {limit_hit}."
        raise SandboxLimit(msg)
    foreign = "" if result else transcript.last_foreign
    said = f" Its last output that is no event: {foreign}" if foreign else ""
    if exit_code < 0:
        msg = f"The agent was ended by signal {-exit_code}.{said}"
        raise AgentCrashed(msg)
    if exit_code > 0:
        said = f" It said: {result.summary}" if result else said
        msg = f"The agent ended with exit code {exit_code}.{said}"
        raise AgentFailed(msg)
    if result is not None:
        msg = f"The agent gave up: {result.summary}"
        raise AgentFailed(msg)
    if backend.reports_result:
        msg = f"The agent ended without a result.{said}"
        raise (AgentGarbled if foreign else AgentFailed)(msg)


def _stop(process: SandboxProcess, transcript: OutputReader, check: Callable[[], None]) -> None:
    """Stop a program with SIGTERM, and after `GRACE_S` with SIGKILL; read its last output.

    Raises the errors of `check`.
    """
    process.terminate()
    deadline = time.monotonic() + GRACE_S
    while process.exit_code is None and time.monotonic() < deadline:
        _feed(transcript, process.read(TICK_S))
        check()
    process.kill()
