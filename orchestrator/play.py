"""Plays one agent's program to its end: prepared, started in its sandbox, watched, and judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread

from orchestrator.budget import Budget
from orchestrator.commands import TICK_S
from orchestrator.egress.service import Egress
from orchestrator.errors import (
    AgentCrashed,
    AgentFailed,
    AgentTimedOut,
    BudgetExceeded,
    MeterSilent,
    ProviderLimited,
    SandboxLimit,
    TransitionRefused,
)
from orchestrator.lifecycle.holder import Holder
from orchestrator.lifecycle.lease import Lease
from orchestrator.log import get_logger
from orchestrator.metering import TimeWatch, TokenWatch
from orchestrator.models import AgentState
from orchestrator.overlap import Overlap
from orchestrator.ports import AgentBackend, AgentJob, Sandbox, SandboxProcess
from orchestrator.preparation import PREPARED_BY, Preparation
from orchestrator.quota import QuotaWatch
from orchestrator.settings import Settings
from orchestrator.stall import StallWatch
from orchestrator.store.streams import append_log
from orchestrator.surroundings import Surroundings
from orchestrator.transcript import Transcript
from orchestrator.wayout import WayOut, way_out
from orchestrator.workspace.mirror import Base, Mirrors

#: Output goes to Valkey at least this often.
FLUSH_EVERY_S = 0.5
#: A SIGTERM is followed by SIGKILL after this (CONTRACT.md).
GRACE_S = 10.0
#: The end of a turn is a moment to keep the work, but not sooner than this after the last one.
TURN_PAUSE_S = 15.0

log = get_logger("play")


@dataclass(frozen=True)
class Part:
    """What one attempt plays, and where."""

    there: Surroundings
    lease: Lease
    backend: AgentBackend
    job: AgentJob
    transcript: Transcript
    #: Keeps what it has changed so far.
    checkpoint: Callable[[], None]

    @property
    def agent(self) -> AgentState:
        """The agent as it was when this attempt began: earlier rounds' tokens, none of its own."""
        return self.there.agent

    def facts(self) -> dict[str, object]:
        """Return what its state shall say of it by now."""
        transcript = self.transcript
        facts: dict[str, object] = {"usage": self.agent.usage.plus(transcript.spent).wire()}
        if transcript.session_id:
            facts["sessionId"] = transcript.session_id
        if transcript.result:
            facts["summary"] = transcript.summary
        return facts


class Checkpoints:
    """Tells when a running agent's work is to be kept: by the clock, and at the end of a turn."""

    def __init__(self, part: Part, *, every_s: float, turn_pause_s: float = TURN_PAUSE_S) -> None:
        self._part = part
        self._every_s = every_s
        self._turn_pause_s = min(turn_pause_s, every_s)
        self._kept_at = time.monotonic()
        self._turns = 0

    def look(self) -> None:
        """Keep the work if it is time to."""
        since_s = time.monotonic() - self._kept_at
        # The next message of the model begins where a turn, with what its tools did, is over.
        turns = self._part.transcript.messages
        if since_s < self._every_s and (turns == self._turns or since_s < self._turn_pause_s):
            return
        self._part.checkpoint()
        self._kept_at, self._turns = time.monotonic(), turns


@dataclass(frozen=True)
class Play:
    """Runs agents' programs; nothing of one is left when it returns or raises."""

    holder: Holder
    mirrors: Mirrors
    sandbox: Sandbox
    budget: Budget
    egress: Egress
    settings: Settings
    #: Makes the next spawn from a commit quicker.
    prepare_spare: Callable[[Base], None]

    def play(self, part: Part) -> None:
        """Run the agent's program, between its hooks, to its end.

        Raises:
            AgentFailed: how it failed; more as `Lease.check`, the watches and the hooks raise.
        """
        try:
            with way_out(self.egress, self.holder, part.there, part.transcript) as out:
                self._play_inside(part, out)
        finally:
            self._flush(part)

    def _play_inside(self, part: Part, out: WayOut) -> None:
        base = part.there.base
        there = out.leading_from(part.there)
        launch = part.backend.launch(out.told(part.job))
        spec = there.program(
            launch.argv, env=launch.env, stdin=launch.stdin, readable=launch.readable
        )
        preparation = Preparation(
            self.sandbox,
            there,
            part.lease,
            self.mirrors.read_some(base, PREPARED_BY).get,
            lambda line: part.transcript.note(line, source="hook"),
        )
        preparation.include()
        preparation.run("after_create")
        preparation.run("before_run")
        begun_ns = time.time_ns()
        with self.sandbox.start(spec) as process:
            agent = part.agent.model_copy(update={"sandbox": self.sandbox.level})
            agent = self.holder.start(agent, base_commit=base.commit)
            # Beside the agent's work: it saves the next spawn the checkout.
            Thread(target=self.prepare_spare, args=(base,), daemon=True).start()
            overlap = Overlap(self.holder, agent, part.job.worktree, begun_ns)
            quota = QuotaWatch(there.workspace.root, self.settings.disk_quota_bytes)
            stall = StallWatch(self.holder, self.settings, agent)
            time_watch = TimeWatch(self.holder, self.budget, agent)
            looks = (
                out.look,
                overlap.look,
                quota.look,
                Checkpoints(part, every_s=self.settings.checkpoint_s).look,
                lambda: stall.look(process, part.transcript),
                time_watch.look,
            )
            try:
                self._watch(part, agent, process, looks, out)
                time_watch.note()
            finally:
                overlap.forget()
        preparation.run("after_run")

    def _watch(
        self,
        part: Part,
        agent: AgentState,
        process: SandboxProcess,
        looks: tuple[Callable[[], None], ...],
        out: WayOut,
    ) -> None:
        """Follow the agent to its end; what it said is in its log whatever that end is."""
        transcript = part.transcript
        tokens = TokenWatch(
            self.holder,
            self.settings,
            agent,
            part.lease,
            transcript,
            part.facts,
            part.backend.reports_usage,
        )
        flush_at = 0.0
        try:
            while process.exit_code is None:
                for chunk in process.read(TICK_S):
                    transcript.feed(chunk)
                tokens.look()
                part.lease.check()
                if time.monotonic() >= flush_at:
                    self._flush(part)
                    flush_at = time.monotonic() + FLUSH_EVERY_S
                for look in looks:
                    look()
            while chunks := process.read(0):
                for chunk in chunks:
                    transcript.feed(chunk)
            _await_answers(out, (tokens.look, part.lease.check, *looks))
            transcript.finish()
            tokens.look()
            _judge(process, transcript, part.backend)
        except (BudgetExceeded, MeterSilent):
            # At once: what it says from here on costs, too.
            process.kill()
            raise
        except AgentTimedOut:
            _stop(process)
            raise
        finally:
            self._flush(part)

    def _flush(self, part: Part) -> None:
        lines = part.transcript.take_lines()
        if not lines:
            return
        agent, cap = part.agent, self.settings.log_lines
        self.holder.store.run(append_log(agent.agent_id, agent.attempt, lines, cap=cap))
        try:
            self.holder.update(agent, part.facts())
        except TransitionRefused as refusal:
            # Ended by another meanwhile: the lease tells at its next check.
            log.info("facts dropped", agentId=agent.agent_id, reason=str(refusal))


def _await_answers(out: WayOut, looks: tuple[Callable[[], None], ...]) -> None:
    """Return when all is told of what an agent asked its model, and spent, without waiting."""
    while out.is_busy:
        time.sleep(TICK_S)
        for look in looks:
            look()


def _judge(process: SandboxProcess, transcript: Transcript, backend: AgentBackend) -> None:
    result, exit_code = transcript.result, process.exit_code or 0
    if result is not None and result.is_limited:
        limited = ProviderLimited(f"The model's provider takes no more: {result.summary}")
        limited.resets_at_s = transcript.limit_resets_at_s
        raise limited
    if process.limit_hit:
        msg = f"The agent reached {process.limit_hit}."
        raise SandboxLimit(msg)
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


def _stop(process: SandboxProcess) -> None:
    process.terminate()
    deadline = time.monotonic() + GRACE_S
    while process.exit_code is None and time.monotonic() < deadline:
        process.read(TICK_S)
    process.kill()
