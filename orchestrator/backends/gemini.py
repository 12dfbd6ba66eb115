"""The backend for Gemini CLI: headless, prompt on its standard input, JSON lines on its output."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.backends import _prompt
from orchestrator.backends._gemini_events import SESSION, read_event
from orchestrator.backends._home_files import HomeFiles, OverLimitError, write_lines
from orchestrator.backends._model_source import ModelSource
from orchestrator.backends._program import find_program, package_folder
from orchestrator.interfaces.agent import AgentJob, Launch, Signal
from orchestrator.log import get_logger
from orchestrator.settings import Settings

_CLIENT = Path(__file__).with_name("_stream_client.py")
_INSTALL = (
    "Install Gemini CLI (npm install -g @google/gemini-cli), or set"
    " ORCHESTRATOR_BACKENDS__GEMINI__BINARY."
)
_ARGUMENTS = ("--output-format", "stream-json", "--approval-mode", "yolo")
#: It trusts the folder after the settings of the workspace are read, so these do not count.
_AS_CONTENT = ("--skip-trust", "--extensions", "none")
_ENV = {"GEMINI_CLI_NO_RELAUNCH": "true", "GEMINI_SANDBOX": "false"}
_ENV_TRUSTED = {"GEMINI_CLI_TRUST_WORKSPACE": "true"}
_SETTINGS = {
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    # After these attempts the orchestrator waits, without a slot.
    "general": {
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
        "maxAttempts": 3,
    },
    # With an address of the provider in the environment, the program would choose another type.
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": True}},
    # Their searches and fetches are run by the provider; the egress proxy refuses such requests.
    "tools": {"exclude": ["google_web_search", "web_fetch"]},
}
#: Files of the HOME that may name a provider, a key, a hook or a server; the client writes one.
_GLOBAL_CONFIGS = (
    *(".gemini/settings.json", ".gemini/.env", ".env", ".gemini/trustedFolders.json"),
)
_CHATS = (".gemini", "tmp")
#: Where a session of another attempt is written to.
_RESUMED = (".gemini", "orchestrator", "session.jsonl")

log = get_logger("gemini")


class Options(BaseModel):
    """ORCHESTRATOR_BACKENDS__GEMINI__*."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    binary: Path | None = Field(
        default=None,
        description="The Gemini CLI program. If it is not set, this is `gemini` on the PATH.",
    )
    model: str | None = Field(
        default=None,
        description="The model, as `gemini --model` takes it, if neither request nor defaults name"
        " one. Without any, the program asks a small model to choose one for each prompt.",
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return what logs, events and `orch config show` must mask of the options."""
    return settings.backend_secrets("gemini", Options)


def build(settings: Settings) -> GeminiBackend:
    """Build the backend.

    Raises:
        SettingsInvalid: an option is wrong.
    """
    return GeminiBackend(
        settings.backend_options("gemini", Options),
        source=ModelSource.of(settings, "gemini"),
        path=settings.host_env.get("PATH"),
        is_content=settings.agent_config == "content",
    )


class GeminiBackend:
    """Starts Gemini CLI beside a client, and reads its stream."""

    reports_result = True
    #: A run reports its tokens at its end; the egress proxy meters each message.
    reports_usage = False
    models = ("*",)
    efforts: tuple[str, ...] = ()

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
        """Return how to start Gemini CLI; a session whose file is in `job.home` is resumed.

        Raises:
            BackendUnavailable: there is no program or no key.
        """
        program, endpoint = self._binary(), self._source.endpoint(job)
        argv = [str(program), *_ARGUMENTS, *(_AS_CONTENT if self._is_content else ())]
        if model := job.model_name or self._options.model:
            argv += ["--model", model]
        session = job.home.joinpath(*_RESUMED)
        if job.session_id and session.is_file():
            argv += ["--session-file", str(session)]
        given = {
            "argv": argv,
            "prompt": _prompt.render(job),
            "files": {_GLOBAL_CONFIGS[0]: json.dumps(_SETTINGS)},
            "refused": "",
        }
        folder = package_folder(program)
        env = _ENV | dict(zip(self._source.variables, (endpoint.url, endpoint.key), strict=True))
        return Launch(
            (sys.executable, "-I", "-S", str(_CLIENT)),
            env if self._is_content else env | _ENV_TRUSTED,
            json.dumps(given).encode(),
            readable=(_CLIENT, folder or program),
            absent=_GLOBAL_CONFIGS,
        )

    def export_session(self, home: Path, session_id: str) -> Mapping[str, Sequence[str]]:
        """Return the session that an ended agent left in its untrusted HOME.

        A resumed session has two files under its new id; the longer one has the whole.
        """
        if not SESSION.fullmatch(session_id):
            return {}
        files, end = HomeFiles(home), f"-{session_id[:8]}.jsonl"
        try:
            found = [
                files.lines((*_CHATS, project, "chats", name))
                for project in files.names(_CHATS)
                for name in files.names((*_CHATS, project, "chats"))
                if name.startswith("session-") and name.endswith(end)
            ]
        except OverLimitError:
            log.warning("session too large", sessionId=session_id)
            return {}
        longest = max(found, key=len, default=())
        return {"": longest} if longest else {}

    def import_session(self, job: AgentJob, session: Mapping[str, Sequence[str]]) -> None:
        """Write a session where this job's launch resumes it."""
        write_lines(job.home.joinpath(*_RESUMED), session.get("", ()))

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
        chosen = self._options.binary or "gemini"
        return find_program(chosen, path=self._path, action=_INSTALL)
