"""The backend for any program: its arguments are a template, its output lines are messages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr

from orchestrator.backends import _prompt
from orchestrator.backends._model_source import proxied_environment
from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.agent import AgentJob, AgentMessage, Launch, Signal
from orchestrator.settings import Settings

_PLACEHOLDER = re.compile(r"\{(prompt|worktree|agent_id|model|effort)\}")
#: Without a value, an argument that contains one of these is left out.
_OPTIONAL = ("model", "effort")


class Options(BaseModel):
    """The options ORCHESTRATOR_BACKENDS__COMMAND__*, both in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    argv: Json[tuple[str, ...]] = Field(
        default=(),
        description="The program and its arguments: a JSON list. `{prompt}`, `{worktree}`,"
        " `{agent_id}`, `{model}` and `{effort}` are replaced. If no model is named, an argument"
        " with `{model}` is left out, and with an argument that is only `{model}` also an option"
        " such as `--model` before it; so with `{effort}`.",
    )
    model: str | None = Field(
        default=None,
        description="The model if neither the request nor its defaults name one.",
    )
    effort: str | None = Field(
        default=None,
        description="The effort if neither the request nor its defaults name one.",
    )
    models: Json[tuple[str, ...]] = Field(
        default=("*",),
        description="The models that requests may name, if ARGV contains `{model}`: a JSON list of"
        " names and shell patterns.",
    )
    efforts: Json[tuple[str, ...]] = Field(
        default=("*",),
        description="The efforts that requests may name, if ARGV contains `{effort}`: as MODELS.",
    )
    env: Json[dict[str, SecretStr]] = Field(
        default_factory=dict,
        repr=False,
        description="Further environment variables of the program, such as its API key: a JSON"
        " object. Logs, events and summaries mask its values, except values of fewer than 6"
        " characters.",
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return what logs, events and `orch config show` must mask of the options."""
    return settings.backend_secrets("command", Options)


def build(settings: Settings) -> CommandBackend:
    """Build the backend.

    Raises:
        SettingsInvalid: an option is wrong.
    """
    options = settings.backend_options("command", Options)
    return CommandBackend(options, path=settings.host_env.get("PATH"))


class CommandBackend:
    """Starts the program that ARGV names; exit code 0 is success."""

    reports_result = False
    reports_usage = False

    def __init__(self, options: Options, *, path: str | None) -> None:
        text = "\n".join(options.argv)
        self.models = options.models if "{model}" in text else ()
        self.efforts = options.efforts if "{effort}" in text else ()
        self.default_model, self.default_effort = options.model, options.effort
        self.has_key: bool | None = None
        self._options = options
        self._path = path

    def launch(self, job: AgentJob) -> Launch:
        """Return how to start the program, with the prompt on its standard input.

        Raises:
            BackendUnavailable: ARGV is not set, or its program does not exist.
        """
        prompt = _prompt.render(job)
        values = {
            "prompt": prompt,
            "worktree": str(job.worktree),
            "agent_id": job.agent_id,
            "model": job.model_name or self.default_model or "",
            "effort": job.effort or self.default_effort or "",
        }
        given = {name: value.get_secret_value() for name, value in self._options.env.items()}
        return Launch(self._argv(values), proxied_environment(job, given) | given, prompt.encode())

    def signals(self, line: bytes) -> Sequence[Signal]:
        """Return any line as a message."""
        return (AgentMessage(line.decode(errors="replace")),)

    def check(self) -> str:
        """Return the program that would be started.

        Raises:
            BackendUnavailable: ARGV is not set, or its program does not exist.
        """
        return self._argv({})[0]

    def _argv(self, values: Mapping[str, str]) -> tuple[str, ...]:
        # One pass, so that a placeholder inside the prompt is not replaced.
        program, *arguments = (
            _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), argument)
            for argument in _without_unnamed(self._options.argv, values) or ("",)
        )
        if not program:
            msg = "The backend `command` has no program."
            raise BackendUnavailable(
                msg, action="Set ORCHESTRATOR_BACKENDS__COMMAND__ARGV to a JSON list."
            )
        found = shutil.which(program, path=self._path)
        if found is None:
            msg = f"There is no program {program!r}."
            raise BackendUnavailable(
                msg, action="Install it, or correct ORCHESTRATOR_BACKENDS__COMMAND__ARGV."
            )
        return (found, *arguments)


def _without_unnamed(argv: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return the arguments without those whose model or effort is not named."""
    unnamed = [f"{{{name}}}" for name in _OPTIONAL if values and not values[name]]
    kept: list[str] = []
    for argument in argv:
        if not kept or not any(one in argument for one in unnamed):
            kept.append(argument)
        elif argument in unnamed and len(kept) > 1 and kept[-1].startswith("-"):
            kept.pop()
    return kept
