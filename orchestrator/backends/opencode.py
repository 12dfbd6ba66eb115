"""The backend for OpenCode: `opencode run`, prompt on its standard input, JSON lines as output."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.backends import _prompt, _session_files
from orchestrator.backends._model_source import ModelEndpoint, ModelSource, ProviderName
from orchestrator.backends._opencode_events import SESSION, read_event
from orchestrator.backends._program import find_program, package_folder
from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.agent import AgentJob, Launch, Signal
from orchestrator.settings import Settings

_CLIENT = Path(__file__).with_name("_stream_client.py")
_INSTALL = (
    "Install OpenCode (npm install -g opencode-ai), or set ORCHESTRATOR_BACKENDS__OPENCODE__BINARY."
)
_ARGUMENTS = (
    *("run", "--format", "json", "--auto"),
    # A refused request is written to the log alone, and repeated without end.
    *("--print-logs", "--log-level", "ERROR"),
)
#: The client ends the program at such a line; the orchestrator waits, without a slot.
_REFUSED = (
    r'message="stream error".* small=false .*error\.error="'
    r'([^"]*(?:Too Many Requests|429|[Rr]ate.?[Ll]imit|[Qq]uota)[^"]*)"'
)
_OFF = (
    *("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "SHARE", "DEFAULT_PLUGINS", "TERMINAL_TITLE"),
)
#: Without plugins, and without any configuration of the repository.
_OFF_AS_CONTENT = ("PROJECT_CONFIG", "CLAUDE_CODE", "EXTERNAL_SKILLS")
#: For each provider: its name in OpenCode, what follows the base address, and its package.
_PROVIDERS: Mapping[ProviderName, tuple[str, str, str]] = {
    "anthropic": ("anthropic", "/v1", "@ai-sdk/anthropic"),
    "openai": ("openai", "", "@ai-sdk/openai"),
    "gemini": ("google", "/v1beta", "@ai-sdk/google"),
    "compatible": ("compatible", "", "@ai-sdk/openai-compatible"),
}
_DATA = ".local/share/opencode"
#: Files of the HOME that may name a provider, a key, a plugin or a server.
_GLOBAL_CONFIGS = (
    *(f".config/opencode/{name}" for name in ("opencode.json", "opencode.jsonc", "config.json")),
    *(".opencode/opencode.json", ".opencode/opencode.jsonc", f"{_DATA}/auth.json"),
)
#: The database of sessions, and what is not written into it yet.
_SESSIONS = (f"{_DATA}/opencode.db", f"{_DATA}/opencode.db-wal")


class Options(BaseModel):
    """ORCHESTRATOR_BACKENDS__OPENCODE__*."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    binary: Path | None = Field(
        default=None,
        description="The OpenCode program. If it is not set, this is `opencode` on the PATH.",
    )
    provider: ProviderName = Field(
        default="anthropic",
        description="The provider: `anthropic`, `openai`, `gemini`, or `compatible` for the server"
        " of OPENAI_COMPATIBLE_BASE_URL.",
    )
    model: str | None = Field(
        default=None,
        description="The provider's name of the model, if neither request nor defaults name one."
        " `compatible` requires it. Without it the program chooses one, not always the same.",
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return what logs, events and `orch config show` must mask of the options."""
    return settings.backend_secrets("opencode", Options)


def build(settings: Settings) -> OpenCodeBackend:
    """Build the backend.

    Raises:
        SettingsInvalid: an option is wrong.
    """
    options = settings.backend_options("opencode", Options)
    return OpenCodeBackend(
        options,
        source=ModelSource.of(settings, options.provider),
        path=settings.host_env.get("PATH"),
        ignores_agent_config=settings.agent_config == "content",
    )


class OpenCodeBackend:
    """Starts OpenCode beside a client, and reads its stream."""

    reports_result = True
    #: A step reports its tokens when its tools have ended, which may take long.
    reports_usage = False
    models = ("*",)
    efforts = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

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
        self.default_model = self._model()
        self.default_effort: str | None = None
        self.has_key = source.has_key

    def launch(self, job: AgentJob) -> Launch:
        """Return how to start OpenCode; a session whose database is in `job.home` is resumed.

        Raises:
            BackendUnavailable: there is no program or no key.
        """
        program, endpoint = self._binary(), self._source.endpoint(job)
        provider, _, _ = _PROVIDERS[self._source.name]
        argv = [str(program), *_ARGUMENTS]
        model = job.model_name or self._model()
        if model:
            argv += ["--model", f"{provider}/{model}"]
        if job.effort:
            argv += ["--variant", job.effort]
        if _has_session(job):
            argv += ["--session", str(job.session_id)]
        off = [*_OFF]
        if self.ignores_agent_config:
            argv.append("--pure")
            off += _OFF_AS_CONTENT
        given = {"argv": argv, "prompt": _prompt.render(job), "files": {}, "refused": _REFUSED}
        return Launch(
            (sys.executable, "-I", "-S", str(_CLIENT)),
            {
                **{f"OPENCODE_DISABLE_{name}": "1" for name in off},
                "OPENCODE_CONFIG_CONTENT": json.dumps(self._config(endpoint, model)),
                self._source.variables[1]: endpoint.key,
            },
            json.dumps(given).encode(),
            readable=(_CLIENT, package_folder(program) or program),
            absent=_GLOBAL_CONFIGS,
        )

    def export_session(self, home: Path, session_id: str) -> Mapping[str, Sequence[str]]:
        """Return the database that an ended agent left in its untrusted HOME."""
        return _session_files.read_files(home, _SESSIONS, session_id)

    def import_session(self, job: AgentJob, session: Mapping[str, Sequence[str]]) -> None:
        """Write the database where OpenCode finds it.

        Raises:
            ValueError: the session belongs to another path; OpenCode would wait without end.
        """
        if not _session_files.is_from(job.home, session):
            msg = "OpenCode resumes a session only at the path of the workspace where it began."
            raise ValueError(msg)
        _session_files.write_files(job.home, _SESSIONS, session)

    def signals(self, line: bytes) -> Sequence[Signal]:
        """Read the events of a line; unused events give no signal."""
        return read_event(line)

    def check(self) -> str:
        """Return the path of the program that would be started.

        Raises:
            BackendUnavailable: there is no program or no key.
        """
        self._source.endpoint()
        self._model()
        return str(self._binary())

    def _model(self) -> str | None:
        if self._options.model is None and self._source.name == "compatible":
            msg = "OpenCode needs the name of a model of this server."
            raise BackendUnavailable(msg, action="Set ORCHESTRATOR_BACKENDS__OPENCODE__MODEL.")
        return self._options.model

    def _binary(self) -> Path:
        chosen = self._options.binary or "opencode"
        return find_program(chosen, path=self._path, action=_INSTALL)

    def _config(self, endpoint: ModelEndpoint, model: str | None) -> dict[str, object]:
        """Return the configuration that counts more than any file."""
        provider, suffix, package = _PROVIDERS[self._source.name]
        options = {
            "baseURL": endpoint.url.rstrip("/") + suffix,
            "apiKey": f"{{env:{self._source.variables[1]}}}",
        }
        given = {"npm": package, "options": options, "models": {model: {}} if model else {}}
        return {
            "autoupdate": False,
            "share": "disabled",
            # It would copy the tree at each step.
            "snapshot": False,
            "permission": "allow",
            "enabled_providers": [provider],
            "provider": {provider: given},
        }


def _has_session(job: AgentJob) -> bool:
    is_id = SESSION.fullmatch(job.session_id or "") is not None
    return is_id and (job.home / _SESSIONS[0]).is_file()
