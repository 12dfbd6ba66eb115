"""The Protocol of an agent backend, and the values that its methods exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from orchestrator.interfaces.signals import StreamFact
from orchestrator.models import AgentType, Usage

# ── signals of an agent's output ────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class AgentMessage:
    """A message of the agent."""

    text: str
    #: The message is from the program, not from the model, and costs no tokens.
    is_notice: bool = field(default=False, compare=False)
    is_aside: bool = field(default=False, compare=False)  # from a subagent to the agent


@dataclass(frozen=True)
class ToolUse:
    """A call of a tool by the agent."""

    name: str
    detail: str = ""
    id: str = field(default="", compare=False)  # the id in the `ToolDone` of this call


@dataclass(frozen=True)
class UsageReport:
    """The tokens of one model message; reports with the same id repeat and are not added."""

    message_id: str
    usage: Usage
    #: The id is not the provider's, so the egress proxy reports the same tokens under other ids.
    has_own_id: bool = field(default=False, compare=False)
    #: The tokens of all messages so far; such a report has its own id.
    is_sum: bool = field(default=False, compare=False)
    #: `PROVIDER/MODEL`, or the name of the model alone; empty if the report does not name it.
    model: str = field(default="", compare=False)


@dataclass(frozen=True)
class SessionStarted:
    """The id of the agent's session, by which a later attempt resumes the session."""

    session_id: str


@dataclass(frozen=True)
class Result:
    """The agent's result; a `summary` that is not empty becomes the commit message."""

    ok: bool
    summary: str = ""
    cost_usd: float | None = None
    #: The provider refused requests (429, 529), so the failure is not the agent's fault.
    is_limited: bool = False
    #: The structured answer as JSON text, if the job has an `answer_schema`.
    answer: str | None = None
    turns: int | None = field(default=None, compare=False)  # of the model; None if not reported


Signal = AgentMessage | ToolUse | UsageReport | SessionStarted | Result | StreamFact


@dataclass(frozen=True)
class ModelAccess:
    """The address and key of the model for one agent; only the egress proxy accepts the key."""

    #: The address of Anthropic's API, and the beginning of those of the other providers.
    base_url: str
    key: str
    #: For the name of each provider with a key: the base address at which the proxy serves it.
    addresses: Mapping[str, str] = field(default_factory=dict)
    #: For each of these: the variables by which its clients find address and key.
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentJob:
    """The input of a backend for the start of one agent."""

    agent_id: str
    agent_type: AgentType
    work_items: tuple[str, ...]
    skills: tuple[str, ...]
    worktree: Path
    home: Path
    session_id: str | None = None
    feedback: str | None = None
    #: The JSON schema of the agent's answer, as JSON text; not every backend supports it.
    answer_schema: str | None = None
    #: Replaces the real address and key of the model; None for those of the settings.
    model: ModelAccess | None = None
    #: The model that the request or its defaults name; None for the program's own.
    model_name: str | None = None
    #: The effort that the request or its defaults name; None for the program's own.
    effort: str | None = None


@dataclass(frozen=True)
class Launch:
    """The command of an agent's program; `env` is added to the environment of the attempt."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    #: Further files of this host that the program reads.
    readable: tuple[Path, ...] = ()
    #: Names of files in the agent's HOME that must not exist when the program starts.
    absent: tuple[str, ...] = ()


@runtime_checkable
class IgnoresAgentConfig(Protocol):
    """A backend that may start its program without the configuration of the repository."""

    #: Whether no file of the repository can name a provider, hook, permission or MCP server.
    ignores_agent_config: bool


@runtime_checkable
class OffersModels(Protocol):
    """A backend that takes `model_name` and `effort` of a job; any other one takes neither."""

    #: Names of models, or shell patterns of them; `("*",)` for any name.
    models: tuple[str, ...]
    #: The efforts that the program knows, from the least on; empty if it takes none.
    efforts: tuple[str, ...]


@runtime_checkable
class HasModelDefaults(Protocol):
    """A backend whose options name its model and effort, and that needs a key of its provider."""

    #: Of the options; None for the program's own.
    default_model: str | None
    default_effort: str | None
    #: Whether the key is set; None if the backend does not know which key its program needs.
    has_key: bool | None


@runtime_checkable
class KeepsSessions(Protocol):
    """A backend whose sessions are files in the agent's HOME, stored between attempts."""

    def export_session(self, home: Path, session_id: str) -> Mapping[str, Sequence[str]]:
        """Return the transcripts of an ended agent (name → JSON lines); `home` is untrusted."""
        ...

    def import_session(self, job: AgentJob, session: Mapping[str, Sequence[str]]) -> None:
        """Write the transcripts to the new `job.home`, from which `launch(job)` resumes them."""
        ...


class AgentBackend(Protocol):
    """One kind of agent program; its module exports `build(settings) -> AgentBackend`.

    The module may export `secrets(settings) -> Sequence[str]`, the options that logs must mask.
    Without that function all options of the backend are masked.
    """

    #: Whether exit code 0 without a `Result` is a failure.
    reports_result: bool
    #: Whether each message is reported with its tokens; then missing reports are an error.
    reports_usage: bool

    def launch(self, job: AgentJob) -> Launch:
        """Return the command that starts the agent.

        Raises:
            BackendUnavailable: the program or its key is missing.
        """
        ...

    def signals(self, line: bytes) -> Sequence[Signal]:
        """Parse one line of the agent's standard output; pure, and never raises."""
        ...

    def check(self) -> str:
        """Return one line that describes the program, for `orch doctor`.

        Raises:
            BackendUnavailable: the program cannot be started.
        """
        ...
