"""The record of all settings: the groups of the other modules, and the settings of a host."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
)

from orchestrator.errors import SettingsInvalid
from orchestrator.settings.access import AccessSettings
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.budget import BudgetSettings
from orchestrator.settings.environments import EnvironmentSettings
from orchestrator.settings.gates import GateSettings
from orchestrator.settings.git import GitSettings
from orchestrator.settings.reliability import ReliabilitySettings
from orchestrator.settings.sandbox import SandboxSettings
from orchestrator.settings.valkey import ValkeySettings
from orchestrator.settings.values import env

OptionsT = TypeVar("OptionsT", bound=BaseModel)

#: The prefix of the variables of backend options.
BACKEND_PREFIX = "ORCHESTRATOR_BACKENDS__"


_SECRET_NAME = re.compile(r"key|token|secret|password|credential")
#: A shorter value occurs in any text by chance.
_LEAST_MASKED = 6


def _passwords(url: str) -> Iterator[str]:
    """Yield the passwords of an address, decoded and as written."""
    try:
        address = urlsplit(url)
    except ValueError:
        return  # an option that is not an address
    if address.password:
        yield from (address.password, unquote(address.password))
    yield from parse_qs(address.query).get("password", ())


def _secrets_in(value: object) -> Iterator[str]:
    """Yield every SecretStr of a parsed option, at any depth."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _secrets_in(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _secrets_in(one)


def _state_home() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "mosaic-orchestrator"


class Settings(
    AccessSettings,
    ValkeySettings,
    AgentSettings,
    SandboxSettings,
    BudgetSettings,
    GitSettings,
    GateSettings,
    EnvironmentSettings,
    ReliabilitySettings,
):
    """The settings of operators; each field names its variable."""

    home: Annotated[Path, AfterValidator(Path.absolute)] = env(
        "ORCHESTRATOR_HOME",
        description="The folder of this host's state: Valkey's files, logs, mirrors and"
        " workspaces.",
        default_factory=_state_home,
    )
    workspaces: Path | None = env(
        "ORCHESTRATOR_WORKSPACES",
        description="The folder in which workspaces are created. If it is not set, this is"
        " `workspaces` in ORCHESTRATOR_HOME.",
        default=None,
    )
    signing_key: SecretStr | None = env(
        "ORCHESTRATOR_SIGNING_KEY",
        description="The key that signs the audit and the fingerprints of secret findings. All"
        " hosts need the same key. If it is not set, the system generates one in"
        " ORCHESTRATOR_HOME.",
        default=None,
    )
    backends: dict[str, dict[str, str]] = Field(default_factory=dict, repr=False)
    #: The secrets that the backends declare in their options; `wiring` collects them.
    declared_secrets: tuple[str, ...] = Field(default=(), repr=False)
    host_env: dict[str, str] = Field(default_factory=dict)
    #: The `.env` and every `*_FILE` that the settings were read from or could have been.
    sources: frozenset[Path] = frozenset()

    @property
    def workspaces_dir(self) -> Path:
        """The folder of the agents' workspaces; it may be on another disk than the home."""
        return self.workspaces or self.home / "workspaces"

    @property
    def agents_dirs(self) -> tuple[Path, ...]:
        """The folders in which programs of agents and gates write."""
        return (self.workspaces_dir, *(self.home / name for name in ("candidates", "containers")))

    @property
    def secrets(self) -> tuple[str, ...]:
        """All secret values, for redaction; a value that contains another one comes first."""
        held = (
            self.api_key,
            self.signing_key,
            self.claude_api_key,
            self.anthropic_api_key,
            self.openai_api_key,
            self.gemini_api_key,
            self.compatible_api_key,
            self.valkey_password,
            self.git_token,
            self.flower_password,
        )
        found = {secret.get_secret_value() for secret in held if secret}
        for url in (
            self.anthropic_base_url,
            self.openai_base_url,
            self.gemini_base_url,
            self.compatible_base_url,
        ):
            found |= set(_passwords(url or ""))
        found |= {*_passwords(self.valkey_url), *self._named_like_secrets(), *self.declared_secrets}
        return tuple(sorted(found, key=len, reverse=True))

    def _named_like_secrets(self) -> Iterator[str]:
        """Yield the values of options whose name suggests a secret, declared or not."""
        for options in self.backends.values():
            for name, value in options.items():
                yield from _passwords(value)
                if _SECRET_NAME.search(name) and len(value) >= _LEAST_MASKED:
                    yield value

    def backend_secrets(self, name: str, model: type[BaseModel] | None = None) -> tuple[str, ...]:
        """Return the values of SecretStr in the options of one backend.

        Without a model of the options, or if they do not fit it, every option counts as secret.
        Values of fewer than 6 characters are left out: they occur in any text by chance.
        """
        given = self.backends.get(name, {})
        found = tuple(given.values())
        if model is not None:
            with suppress(ValidationError):  # the backend reports the fault
                found = tuple(_secrets_in(model.model_validate(given)))
        return tuple(value for value in found if len(value) >= _LEAST_MASKED)

    @property
    def valkey_password_file(self) -> Path:
        """The password that `orch up` generates for its own Valkey, if none is set."""
        return self.home / "valkey-password"

    @property
    def secret_files(self) -> frozenset[Path]:
        """The files outside the home that contain secrets; sandboxes must not read them."""
        held = (self.secret_allow_list, self.include_dir)
        return self.sources | {path.absolute() for path in held if path}

    def backend_options(self, name: str, model: type[OptionsT]) -> OptionsT:
        """Parse the options of one backend, ORCHESTRATOR_BACKENDS__<NAME>__*.

        Raises:
            SettingsInvalid: an option is unknown or wrong; the message names its variable.
        """
        try:
            return model.model_validate(self.backends.get(name, {}))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            variable = f"{BACKEND_PREFIX}{name}__{fault['loc'][0]}".upper()
            known = ", ".join(option.upper() for option in model.model_fields)
            unknown = fault["type"] == "extra_forbidden"
            cause = f"there is no such option, only {known}" if unknown else fault["msg"]
            msg = f"{variable}: {cause}."
            raise SettingsInvalid(msg) from error
