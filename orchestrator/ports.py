"""The Protocols a plug-in fulfils, and the values that cross them: backend, sandbox, gate check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from orchestrator.models import AgentType, GateResult, Stage, Usage

# ── what an agent says ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Message:
    """The agent said something."""

    text: str
    #: Its program said it, not its model: that costs no tokens.
    is_notice: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class ToolUse:
    """The agent used a tool."""

    name: str
    detail: str = ""


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
    """The agent says it is done; `summary` becomes the commit message."""

    ok: bool
    summary: str = ""
    cost_usd: float | None = None
    #: The model's provider took no more requests (429, 529): no fault of the agent's.
    is_limited: bool = False
    #: The structured answer, where the job asked for one by `answer_schema`; JSON text.
    answer: str | None = None


@dataclass(frozen=True)
class LimitReached:
    """The model's provider takes no requests before this instant, in seconds since 1970."""

    resets_at_s: float


Signal = Message | ToolUse | UsageReport | SessionStarted | LimitReached | Result


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

    def take_session(self, home: Path, session_id: str) -> Mapping[str, Sequence[str]]:
        """Return an ended agent's transcripts (name → JSON lines); `home` is hostile."""
        ...

    def put_session(self, job: AgentJob, session: Mapping[str, Sequence[str]]) -> None:
        """Put transcripts where `launch(job)` resumes them; `job.home` is fresh."""
        ...


class AgentBackend(Protocol):
    """One kind of agent; one file, exporting `build(settings) -> AgentBackend`."""

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
        """Parse one line of the agent's standard output; pure.

        Raises:
            AgentGarbled: the line is not this backend's protocol.
        """
        ...

    def check(self) -> str:
        """Return one line on what would be started, for `orch doctor`.

        Raises:
            BackendUnavailable: it cannot be started, and why.
        """
        ...


# ── where it runs ───────────────────────────────────────────────────────────────────────────


#: Where a program without a network finds its egress proxy, on its own loopback.
EGRESS_PORT = 8118


@dataclass(frozen=True)
class ProcessSpec:
    """One program to run beside nothing of ours: `env` is all it sees of the environment."""

    agent_id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stdin: bytes = b""
    attempt: int = 0
    #: The folder it may write in, which holds `cwd`; without it `cwd` alone.
    root: Path | None = None
    #: What it may read beside the system, at its own path: the objects its repository borrows.
    readable: tuple[Path, ...] = ()
    #: False: no network but `egress`. Some sandboxes never give one.
    has_network: bool = True
    #: The unix socket of an egress proxy, reached inside at 127.0.0.1:EGRESS_PORT.
    egress: Path | None = None


@dataclass(frozen=True)
class Chunk:
    """Some bytes of output; `source` is `stdout` or `stderr`."""

    source: str
    data: bytes


class SandboxProcess(Protocol):
    """A running program and everything it started."""

    def read(self, timeout_s: float) -> list[Chunk]:
        """Wait for output or the end, at most `timeout_s`; empty when there was neither."""

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal) once the whole tree has ended, else None."""

    @property
    def limit_hit(self) -> str | None:
        """Once it has ended: which limit of its sandbox ended it, with its value, or None."""

    def cpu_s(self) -> float:
        """Return the processor time that its live processes have spent."""

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM)."""

    def kill(self) -> None:
        """End the whole tree at once; returns when nothing of it is left."""


class Sandbox(Protocol):
    """Where programs of agents and gates run; one file, exporting `build(settings) -> Sandbox`."""

    @property
    def level(self) -> str:
        """What confines the programs, in one word, as the agent's state shows it."""
        ...

    def check(self) -> str:
        """Return one line on what confines programs here, for `orch doctor`.

        Raises:
            BackendUnavailable: nothing can be started in it, and why.
        """
        ...

    def start(self, spec: ProcessSpec) -> AbstractContextManager[SandboxProcess]:
        """Start a program; leaving the context kills what is left of its tree.

        Raises:
            BackendUnavailable: the program does not exist or may not be run.
            SandboxUnavailable: what it would run in cannot be had for now.
            WorkspaceLost: `cwd` does not exist.
        """
        ...


# ── what judges it ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Completed:
    """How a command ended and what it said; `truncated` if more than was kept."""

    #: Negative: the signal that ended it.
    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    truncated: bool
    duration_ms: int


@dataclass(frozen=True)
class FileChange:
    """A file that differs from the base commit, before and after; None where it is absent."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True)
class PlannedGate:
    """One gate of a plan; without a command it is missing, and `hint` says what to add."""

    name: str
    stage: Stage
    command: str | None
    timeout_s: float
    hint: str = ""
    report: str | None = None  # of coverage; the command leaves it, relative to the checkout
    minimum: float | None = None  # of coverage, in percent
    #: Whether its command may reach the allowed hosts, where it has no network otherwise.
    network: bool = False
    script: str = ""  # the base's text of the script or recipe that the command runs, where known


@dataclass(frozen=True)
class Subject:
    """What a gate judges: one clean checkout of the candidate tree, this gate's own."""

    agent_id: str
    agent_type: AgentType
    checkout: Path
    work_items: tuple[str, ...]
    #: The candidate's difference from the base commit, as a patch, all of it; read when called.
    diff: Callable[[], str]
    #: Runs a program in the sandbox, in the checkout: argv, extra environment, stdin, limit (s).
    run: Callable[[Sequence[str], Mapping[str, str], bytes, float], Completed]
    #: For a gate that `asks_model`, as in `AgentJob`.
    model: ModelAccess | None = None


class Gate(Protocol):
    """One kind of check; one file, exporting `build(settings) -> Gate`."""

    #: Whether it runs an agent, which needs its model.
    asks_model: bool

    def judge(self, gate: PlannedGate, subject: Subject) -> GateResult:
        """Judge the subject; whatever goes wrong is a result, never a pass."""
        ...


class Detector(Protocol):
    """Knows one ecosystem; one file, exporting `build(settings) -> Detector`."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return gate → how to run it, from files of the base commit; empty if not its kind."""
        ...


@dataclass(frozen=True)
class GateCommand:
    """A gate's shell command, its report in the checkout, and the text of a script that it runs."""

    command: str
    report: str | None = None
    script: str = ""


# ── where it is proposed ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ChangeRequest:
    """A pushed branch proposed for another one; the words are the agent's, so they are data."""

    repository: str
    branch: str
    base_branch: str
    title: str
    body: str


class Forge(Protocol):
    """One kind of code host; one file, exporting `build(settings) -> Forge`."""

    def open_request(self, asked: ChangeRequest, *, token: str) -> str:
        """Open a pull or merge request, or find the one already open, and return its URL.

        Raises:
            ForgeUnavailable: no connection, 429 or 5xx each time.
            ForgeRefused: it will not have the request, the token or the address.
        """
        ...
