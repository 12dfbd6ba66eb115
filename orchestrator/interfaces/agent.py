"""The Protocols a plug-in fulfils, and the values that cross them: backend, sandbox, gate check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from orchestrator.interfaces.signals import StreamFact
from orchestrator.models import AgentType, Usage

# ── what an agent says ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class AgentMessage:
    """The agent said something."""

    text: str
    #: Its program said it, not its model: that costs no tokens.
    is_notice: bool = field(default=False, compare=False)
    is_aside: bool = field(default=False, compare=False)  # a subagent said it, to the agent


@dataclass(frozen=True)
class ToolUse:
    """The agent used a tool."""

    name: str
    detail: str = ""
    id: str = field(default="", compare=False)  # by which its `ToolDone` names it


@dataclass(frozen=True)
class UsageReport:
    """Tokens of one model message; reports with the same id repeat, they do not add."""

    message_id: str
    usage: Usage


@dataclass(frozen=True)
class SessionStarted:
    """The agent named its session, by which a later round resumes it."""

    session_id: str


@dataclass(frozen=True)
class Result:
    """The agent says it is done; `summary` becomes the commit message, unless it is empty."""

    ok: bool
    summary: str = ""
    cost_usd: float | None = None
    #: The model's provider took no more requests (429, 529): no fault of the agent's.
    is_limited: bool = False
    #: The structured answer, where the job asked for one by `answer_schema`; JSON text.
    answer: str | None = None
    turns: int | None = field(default=None, compare=False)  # of its model; None: it does not tell


Signal = AgentMessage | ToolUse | UsageReport | SessionStarted | Result | StreamFact


@dataclass(frozen=True)
class ModelAccess:
    """How an agent without a network reaches its model: `key` is worth nothing anywhere else."""

    base_url: str
    key: str


@dataclass(frozen=True)
class AgentJob:
    """What a backend must know to start one agent."""

    agent_id: str
    agent_type: AgentType
    work_items: tuple[str, ...]
    skills: tuple[str, ...]
    worktree: Path
    home: Path
    session_id: str | None = None
    feedback: str | None = None
    #: A JSON schema the agent's answer must fit, as JSON text; not every backend can.
    answer_schema: str | None = None
    #: What the program is told in place of the real address and key; None: those of the settings.
    model: ModelAccess | None = None


@dataclass(frozen=True)
class Launch:
    """How an agent's program is started; the environment is added to a scrubbed one."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    #: Files of this host that the program reads, beside itself.
    readable: tuple[Path, ...] = ()


@runtime_checkable
class KeepsSessions(Protocol):
    """A backend whose sessions are files of the agent's HOME, and so must travel to be resumed."""

    def export_session(self, home: Path, session_id: str) -> Mapping[str, Sequence[str]]:
        """Return an ended agent's transcripts (name → JSON lines); `home` is hostile."""
        ...

    def import_session(self, job: AgentJob, session: Mapping[str, Sequence[str]]) -> None:
        """Put transcripts where `launch(job)` resumes them; `job.home` is fresh."""
        ...


class AgentBackend(Protocol):
    """One kind of agent; one file, exporting `build(settings) -> AgentBackend`.

    Beside it `secrets(settings) -> Sequence[str]`: what must be masked of its options. Where a
    backend exports none, every one of its options is masked.
    """

    #: Whether exit 0 without a `Result` is a failure.
    reports_result: bool
    #: Whether each of its messages comes with its tokens: words without them are a fault then.
    reports_usage: bool

    def launch(self, job: AgentJob) -> Launch:
        """Return how to start the agent.

        Raises:
            BackendUnavailable: the program, or a key it needs, is missing.
        """
        ...

    def signals(self, line: bytes) -> Sequence[Signal]:
        """Parse one line of the agent's standard output; pure, and whatever it holds no error."""
        ...

    def check(self) -> str:
        """Return one line on what would be started, for `orch doctor`.

        Raises:
            BackendUnavailable: it cannot be started, and why.
        """
        ...


# ── where it runs ───────────────────────────────────────────────────────────────────────────


# ── what judges it ──────────────────────────────────────────────────────────────────────────


# ── where it is proposed ────────────────────────────────────────────────────────────────────
