"""The backend for any agent of the Agent Client Protocol: ARGV starts it, a client speaks to it.

The client, `_acp_client.py`, runs in the sandbox and prints these lines, each a JSON object with
`type`: `session` (id), `message` (text), `tool` (id, name, detail), `tool_done` (id), `usage` (the
tokens of the turn, as the protocol names them) and `result` (ok, summary, cost_usd).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr

from orchestrator import __version__
from orchestrator.backends import _prompt, _session_files
from orchestrator.backends._event_readers import Reader, read_events
from orchestrator.backends._fields import Fields, as_json
from orchestrator.backends._model_source import ModelSource, ProviderName
from orchestrator.backends._program import find_program, package_folder
from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.agent import (
    AgentJob,
    AgentMessage,
    Launch,
    Result,
    SessionStarted,
    Signal,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.signals import Foreign, ToolDone
from orchestrator.models import Usage
from orchestrator.models.tokens import MOST_COST_USD, MOST_TOKENS_OF_A_SESSION
from orchestrator.settings import Settings

_CLIENT = Path(__file__).with_name("_acp_client.py")
_DEFAULT = ("claude-agent-acp",)
_INSTALL = (
    "Install it (npm install -g @zed-industries/claude-agent-acp), or set"
    " ORCHESTRATOR_BACKENDS__ACP__ARGV to the command line of another ACP agent."
)
#: Errors of a provider, in the words of the agents.
_LIMITED = re.compile(
    r"\b(429|503|529)\b|too many requests|rate.?limit|overloaded|resource.?exhausted|usage limit",
    re.IGNORECASE,
)
_ENV = {
    # The Claude agent allows its mode `bypassPermissions` to root only with this variable.
    "IS_SANDBOX": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
}
_CLAUDES_PROVIDER = "ANTHROPIC_BASE_URL"
#: The Claude agent reads no settings of the repository then; other agents ignore this.
_AS_CONTENT: Mapping[str, object] = {"claudeCode": {"options": {"settingSources": []}}}


class Options(BaseModel):
    """ORCHESTRATOR_BACKENDS__ACP__*."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    argv: Json[tuple[str, ...]] = Field(
        default=_DEFAULT,
        description='The agent and its arguments: a JSON list, such as `["gemini", "--acp"]`.',
    )
    env: Json[dict[str, SecretStr]] = Field(
        default_factory=dict,
        repr=False,
        description="Further environment variables of the agent: a JSON object. Logs, events and"
        " summaries mask its values, except values of fewer than 6 characters.",
    )
    provider: ProviderName = Field(
        default="anthropic",
        description="The provider whose address and key the agent gets in its environment. Behind"
        " the egress proxy it gets those of every provider with a key.",
    )
    mode: str | None = Field(
        default=None,
        description="The session mode that is set before the prompt. Without it, each permission"
        " that the agent asks for is given.",
    )
    model: str | None = Field(
        default=None,
        description="The model, by its id in the agent's own list, if neither request nor defaults"
        " name one.",
    )
    auth_method: str | None = Field(
        default=None,
        description="The authentication method that is chosen before the session.",
    )
    session_paths: Json[tuple[str, ...]] = Field(
        default=(".claude/projects",),
        description="The files and folders of the agent's HOME that hold its sessions: a JSON"
        " list. Another attempt gets them, so that it resumes the session.",
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return what logs, events and `orch config show` must mask of the options."""
    return settings.backend_secrets("acp", Options)


def build(settings: Settings) -> AcpBackend:
    """Build the backend.

    Raises:
        SettingsInvalid: an option is wrong.
    """
    options = settings.backend_options("acp", Options)
    return AcpBackend(
        options,
        source=ModelSource.of(settings, options.provider),
        path=settings.host_env.get("PATH"),
        is_content=settings.agent_config == "content",
    )


class AcpBackend:
    """Starts the client with the command line of the agent, and reads its lines."""

    reports_result = True
    #: A turn reports its tokens at its end, if the agent does at all; the proxy meters messages.
    reports_usage = False
    models = ("*",)
    efforts = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

    def __init__(
        self, options: Options, *, source: ModelSource, path: str | None, is_content: bool = True
    ) -> None:
        self._options = options
        self._source = source
        self._path = path
        self.default_model = options.model
        self.default_effort: str | None = None
        self.has_key = source.has_key
        self._is_content = is_content

    def launch(self, job: AgentJob) -> Launch:
        """Return how to start the client, with the job on its standard input.

        Raises:
            BackendUnavailable: the agent's program does not exist.
        """
        program, *arguments = self._argv()
        has_session = any((job.home / path).exists() for path in self._options.session_paths)
        set_here = {name: value.get_secret_value() for name, value in self._options.env.items()}
        env = _ENV | self._source.environment(job, set_here) | set_here
        given = {
            "argv": [program, *arguments],
            "prompt": _prompt.render(job),
            "session": job.session_id if has_session else None,
            "mode": self._options.mode,
            "model": job.model_name or self._options.model,
            "effort": job.effort,
            "auth": self._options.auth_method,
            "meta": _AS_CONTENT if self._is_content else _as_trusted(env),
            "version": __version__,
        }
        folder = package_folder(Path(program))
        return Launch(
            (sys.executable, "-I", "-S", str(_CLIENT)),
            env,
            json.dumps(given).encode(),
            readable=(_CLIENT, *((folder,) if folder else (Path(program),))),
        )

    def export_session(self, home: Path, session_id: str) -> Mapping[str, Sequence[str]]:
        """Return the session files that an ended agent left in its untrusted HOME."""
        return _session_files.read_files(home, self._options.session_paths, session_id)

    def import_session(self, job: AgentJob, session: Mapping[str, Sequence[str]]) -> None:
        """Write the session files where the agent finds them."""
        _session_files.write_files(job.home, self._options.session_paths, session)

    def signals(self, line: bytes) -> Sequence[Signal]:
        """Read the events of a line; any other text is returned as foreign."""
        return read_events(line, _READERS, _unknown)

    def check(self) -> str:
        """Return the command line that would be started.

        Raises:
            BackendUnavailable: the agent's program does not exist.
        """
        return " ".join(self._argv())

    def _argv(self) -> tuple[str, ...]:
        if not self._options.argv or not self._options.argv[0]:
            msg = "The backend `acp` has no program."
            raise BackendUnavailable(
                msg, action="Set ORCHESTRATOR_BACKENDS__ACP__ARGV to a JSON list."
            )
        program, *arguments = self._options.argv
        return (str(find_program(program, path=self._path, action=_INSTALL)), *arguments)


def _as_trusted(env: Mapping[str, str]) -> Mapping[str, object]:
    """Return what keeps the provider, which settings of the repository could name for Claude."""
    url = env.get(_CLAUDES_PROVIDER)
    if url is None:
        return {}
    ours = json.dumps({"env": {_CLAUDES_PROVIDER: url}})
    return {"claudeCode": {"options": {"extraArgs": {"settings": ours}}}}


# ── lines of the client ─────────────────────────────────────────────────────────────────────


def _unknown(part: dict[str, Any]) -> Iterator[Signal]:
    yield Foreign("not of the client", as_json(part))


def _usage(line: Fields) -> Iterator[Signal]:
    counts = {
        name: line.whole(given, most=MOST_TOKENS_OF_A_SESSION) or 0
        for name, given in _COUNTS.items()
    }
    yield UsageReport("turn", Usage(**counts), has_own_id=True, is_sum=True)


def _result(line: Fields) -> Iterator[Signal]:
    summary, ok = line.text("summary"), line.flag("ok") is True
    is_limited = not ok and _LIMITED.search(summary) is not None
    cost_usd = line.number("cost_usd", most=MOST_COST_USD)
    yield Result(ok, summary, cost_usd, is_limited=is_limited)


_COUNTS = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_tokens": "cachedReadTokens",
    "cache_write_tokens": "cachedWriteTokens",
}
_READERS: Mapping[str, Reader] = {
    "session": lambda line: (SessionStarted(line.id("id")),),
    "message": lambda line: (AgentMessage(line.text("text")),),
    "tool": lambda line: (ToolUse(line.text("name"), line.text("detail"), line.id("id")),),
    "tool_done": lambda line: (
        ToolDone(line.id("id"), line.text("output"), line.flag("is_failed") is True),
    ),
    "usage": _usage,
    "result": _result,
}
