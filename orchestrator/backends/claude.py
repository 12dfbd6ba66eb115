"""The backend for headless Claude Code: prompt on its standard input, JSON lines on its output."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr

from orchestrator.backends import _claude_session, _prompt
from orchestrator.backends._claude_events import SESSION, read_event
from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.agent import AgentJob, Launch, Signal
from orchestrator.settings import Settings

_ARGUMENTS = (
    *("-p", "--verbose", "--output-format", "stream-json"),
    # An assistant event contains the usage at the beginning of its message; only the partial event
    # at the end of a message contains the number of output tokens.
    "--include-partial-messages",
)
#: Nothing below the worktree may name a provider, key helper, hook, permission or MCP server.
_AS_CONTENT = ("--setting-sources", "", "--strict-mcp-config")
# As a further directory, the worktree has its CLAUDE.md and its rules read as text all the same.
_WITH_TEXT = ("--add-dir", ".")
_ENV_WITH_TEXT = {"CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1"}
#: `env` in these files of the HOME counts more than the environment, and no option excludes it.
_GLOBAL_CONFIGS = (".claude.json", ".claude/.config.json")
#: The address that Claude Code uses if none is set.
_PROVIDER = "https://api.anthropic.com"
#: The full names and the aliases of Anthropic's models; a gateway may have any others.
_MODELS = ("claude-*", "fable*", "haiku*", "opus*", "sonnet*")
#: The levels of `claude --effort`, by its `--help` (2.1).
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_ENV = {
    # Claude Code accepts --dangerously-skip-permissions from root only with this variable.
    "IS_SANDBOX": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
}


class Options(BaseModel):
    """ORCHESTRATOR_BACKENDS__CLAUDE__*."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    binary: Path | None = Field(
        default=None,
        description="The Claude Code program. If it is not set, this is the program of the extra"
        " `claude`, or else `claude` on the PATH.",
    )
    model: str | None = Field(
        default=None,
        description="The model, as `claude --model` takes it, if neither the request nor its"
        " defaults name one.",
    )
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        default=None,
        description="The effort, as `claude --effort` takes it, if neither the request nor its"
        " defaults name one.",
    )
    models: Json[tuple[str, ...]] | None = Field(
        default=None,
        description="The models that requests may name: a JSON list of names and shell patterns."
        " If it is not set, these are the models of Anthropic, or any with ANTHROPIC_BASE_URL.",
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return what logs, events and `orch config show` must mask of the options."""
    return settings.backend_secrets("claude", Options)


def build(settings: Settings) -> ClaudeBackend:
    """Build the backend.

    Raises:
        SettingsInvalid: an option is wrong.
    """
    return ClaudeBackend(
        settings.backend_options("claude", Options),
        key=settings.model_key,
        base_url=settings.anthropic_base_url,
        path=settings.host_env.get("PATH"),
        ignores_agent_config=settings.agent_config == "content",
    )


class ClaudeBackend:
    """Starts Claude Code and reads its stream."""

    reports_result = True
    reports_usage = True

    def __init__(
        self,
        options: Options,
        *,
        key: SecretStr | None,
        base_url: str | None,
        path: str | None,
        ignores_agent_config: bool = True,
    ) -> None:
        self.ignores_agent_config = ignores_agent_config
        theirs = ("*",) if base_url else _MODELS
        self.models = theirs if options.models is None else options.models
        self.efforts = _EFFORTS
        self.default_model, self.default_effort = options.model, options.effort
        self.has_key = key is not None
        self._options = options
        self._key = key
        self._base_url = base_url
        self._path = path

    def launch(self, job: AgentJob) -> Launch:
        """Return how to start Claude Code; a session whose file is in `job.home` is resumed.

        Raises:
            BackendUnavailable: there is no binary or no key.
        """
        argv = [str(self._binary()), *_ARGUMENTS]
        env = dict(_ENV)
        key, base_url = self._secret(), self._base_url
        if job.model is not None:
            key, base_url = job.model.key, job.model.base_url
        if job.answer_schema:
            # Such a job needs no tool that runs code, nor anything of the tree that it reads.
            argv += ["--restricted", "--json-schema", job.answer_schema, *_AS_CONTENT]
        elif self.ignores_agent_config:
            argv += ["--dangerously-skip-permissions", *_AS_CONTENT, *_WITH_TEXT]
            env |= _ENV_WITH_TEXT
        else:
            # Settings count more than the environment, and these more than the repository's.
            ours = {"env": {"ANTHROPIC_BASE_URL": base_url or _PROVIDER}}
            argv += ["--dangerously-skip-permissions", "--settings", json.dumps(ours)]
        if model := job.model_name or self.default_model:
            argv += ["--model", model]
        if effort := job.effort or self.default_effort:
            argv += ["--effort", effort]
        if job.session_id and _has_session(job.home, job.session_id):
            argv += ["--resume", job.session_id]
        env["ANTHROPIC_API_KEY"] = key
        if base_url:
            env["ANTHROPIC_BASE_URL"] = base_url
        absent = _GLOBAL_CONFIGS if self.ignores_agent_config else ()
        return Launch(tuple(argv), env, _prompt.render(job).encode(), absent=absent)

    def export_session(self, home: Path, session_id: str) -> Mapping[str, Sequence[str]]:
        """Return the session that an ended agent left in its untrusted HOME."""
        return _claude_session.read_session(home, session_id)

    def import_session(self, job: AgentJob, session: Mapping[str, Sequence[str]]) -> None:
        """Write a session where this job's launch resumes it."""
        if job.session_id:
            _claude_session.write_session(job.home, job.worktree, job.session_id, session)

    def signals(self, line: bytes) -> Sequence[Signal]:
        """Read the events of a line; unused events give no signal."""
        return read_event(line)

    def check(self) -> str:
        """Return the path of the binary that would be started.

        Raises:
            BackendUnavailable: there is no binary or no key.
        """
        self._secret()
        return str(self._binary())

    def _secret(self) -> str:
        if self._key is None:
            msg = "CLAUDE_API_KEY is not set."
            raise BackendUnavailable(msg, action="Set it, or choose another backend.")
        return self._key.get_secret_value()

    def _binary(self) -> Path:
        chosen = self._options.binary or _bundled() or "claude"
        found = shutil.which(chosen, path=self._path)
        if found is None:
            msg = f"Claude Code ({chosen}) is not installed."
            raise BackendUnavailable(
                msg,
                action="Install the extra `claude` or set ORCHESTRATOR_BACKENDS__CLAUDE__BINARY.",
            )
        return Path(found)


def _bundled() -> Path | None:
    """Return the binary in the wheel of the `claude` extra, without importing the wheel."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0], "_bundled", "claude") if folders else None


def _has_session(home: Path, session_id: str) -> bool:
    # On another host the session does not exist, and Claude Code would end with an error.
    found = (home / ".claude" / "projects").glob(f"*/{session_id}.jsonl")
    return SESSION.fullmatch(session_id) is not None and any(found)
