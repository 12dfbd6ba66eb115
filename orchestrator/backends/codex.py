"""The backend for Codex: `codex exec`, prompt on its standard input, JSON lines on its output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.backends import _codex_session, _prompt
from orchestrator.backends._codex_events import read_event
from orchestrator.backends._model_source import ModelEndpoint, ModelSource
from orchestrator.backends._program import find_program, package_folder
from orchestrator.interfaces.agent import AgentJob, Launch, Signal
from orchestrator.settings import Settings

_INSTALL = (
    "Install Codex (npm install -g @openai/codex), or set ORCHESTRATOR_BACKENDS__CODEX__BINARY."
)
_ARGUMENTS = (
    # The orchestrator's sandbox confines the program; nobody can approve a command.
    *("--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check"),
    # A hook may have written a configuration into the HOME.
    "--ignore-user-config",
    # They call home, or offer what the provider runs.
    *("--disable", "plugins", "--disable", "apps"),
)
#: Nothing below the worktree may name a provider, hook, permission or MCP server.
_AS_CONTENT = (
    *("--ignore-rules", "--disable", "hooks", "--disable", "skill_mcp_dependency_install"),
)
#: Nobody can review the hooks of a trusted repository.
_AS_TRUSTED = ("--dangerously-bypass-hook-trust",)
_PROVIDER = "orchestrator"
_KEY = "OPENAI_API_KEY"
_CONFIG: Mapping[str, object] = {
    "analytics.enabled": False,
    "otel.metrics_exporter": "none",
    "check_for_update_on_startup": False,
    # The provider would search; the egress proxy refuses such requests.
    "web_search": "disabled",
    "model_provider": _PROVIDER,
    # The commands of the agent do not need it.
    "shell_environment_policy.exclude": [_KEY],
}
#: Files of the HOME that may name a provider, a key or a hook.
_GLOBAL_CONFIGS = (".codex/config.toml", ".codex/auth.json", ".codex/hooks.json")


class Options(BaseModel):
    """ORCHESTRATOR_BACKENDS__CODEX__*."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    binary: Path | None = Field(
        default=None,
        description="The Codex program. If it is not set, this is `codex` on the PATH.",
    )
    model: str | None = Field(
        default=None,
        description="The model, as `codex --model` takes it, if neither request nor defaults name"
        " one.",
    )
    provider: Literal["openai", "compatible"] = Field(
        default="openai",
        description="The provider: `openai`, or `compatible` for the server of"
        " OPENAI_COMPATIBLE_BASE_URL, which must have the Responses API.",
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return what logs, events and `orch config show` must mask of the options."""
    return settings.backend_secrets("codex", Options)


def build(settings: Settings) -> CodexBackend:
    """Build the backend.

    Raises:
        SettingsInvalid: an option is wrong.
    """
    options = settings.backend_options("codex", Options)
    return CodexBackend(
        options,
        source=ModelSource.of(settings, options.provider),
        path=settings.host_env.get("PATH"),
        ignores_agent_config=settings.agent_config == "content",
    )


class CodexBackend:
    """Starts Codex and reads its stream."""

    reports_result = True
    #: A turn reports its tokens at its end; the egress proxy meters each message.
    reports_usage = False
    models = ("*",)
    efforts = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")

    def __init__(
        self,
        options: Options,
        *,
        source: ModelSource,
        path: str | None,
        ignores_agent_config: bool = True,
    ) -> None:
        self.ignores_agent_config = ignores_agent_config
        self._options = options
        self._source = source
        self._path = path
        self.default_model = options.model
        self.default_effort: str | None = None
        self.has_key = source.has_key

    def launch(self, job: AgentJob) -> Launch:
        """Return how to start Codex; a session whose file is in `job.home` is resumed.

        Raises:
            BackendUnavailable: there is no program or no key.
        """
        program = _native(self._binary())
        endpoint = self._source.endpoint(job)
        is_resumed = job.session_id and _codex_session.has_session(job.home, job.session_id)
        resumed = ("resume", job.session_id or "") if is_resumed else ()
        policy = _AS_CONTENT if self.ignores_agent_config else _AS_TRUSTED
        argv = (
            *(str(program), "exec", *resumed, *_ARGUMENTS, *policy),
            *_configured(self._config(job, endpoint)),
            "-",
        )
        folder = package_folder(program)
        return Launch(
            argv,
            {_KEY: endpoint.key},
            _prompt.render(job).encode(),
            readable=(folder,) if folder else (),
            absent=_GLOBAL_CONFIGS,
        )

    def export_session(self, home: Path, session_id: str) -> Mapping[str, Sequence[str]]:
        """Return the session that an ended agent left in its untrusted HOME."""
        return _codex_session.read_session(home, session_id)

    def import_session(self, job: AgentJob, session: Mapping[str, Sequence[str]]) -> None:
        """Write a session where this job's launch resumes it."""
        if job.session_id:
            _codex_session.write_session(job.home, job.session_id, session)

    def signals(self, line: bytes) -> Sequence[Signal]:
        """Read the events of a line; unused events give no signal."""
        return read_event(line)

    def check(self) -> str:
        """Return the path of the program that would be started.

        Raises:
            BackendUnavailable: there is no program or no key.
        """
        self._source.endpoint()
        return str(self._binary())

    def _binary(self) -> Path:
        chosen = self._options.binary or "codex"
        return find_program(chosen, path=self._path, action=_INSTALL)

    def _config(self, job: AgentJob, endpoint: ModelEndpoint) -> dict[str, object]:
        trust = "untrusted" if self.ignores_agent_config else "trusted"
        given: dict[str, object] = {
            **_CONFIG,
            f"model_providers.{_PROVIDER}": {
                "name": _PROVIDER,
                "base_url": endpoint.url,
                "env_key": _KEY,
                "wire_api": "responses",
            },
            "projects": {str(job.worktree.resolve()): {"trust_level": trust}},
        }
        if model := job.model_name or self._options.model:
            given["model"] = model
        if job.effort:
            given["model_reasoning_effort"] = job.effort
        return given


def _configured(config: Mapping[str, object]) -> Iterator[str]:
    """Yield the arguments that set a configuration, which counts more than any file."""
    for name, value in config.items():
        yield from ("--config", f"{name}={_toml(value)}")


def _toml(value: object) -> str:
    """Return a value as TOML on one line; a text in JSON is one in TOML too."""
    if isinstance(value, dict):
        inner = ",".join(f"{json.dumps(name)}={_toml(one)}" for name, one in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_toml, value))}]"
    return json.dumps(value)


def _native(program: Path) -> Path:
    """Return the binary that npm's script `codex` would start, or the program itself.

    The binary needs neither Node.js nor a library, so it runs in any container.
    """
    folder = package_folder(program)
    if folder is None or program.resolve().suffix != ".js":
        return program
    found = sorted(folder.glob("@openai/codex-*/vendor/*/bin/codex"))
    return found[0] if found else program
