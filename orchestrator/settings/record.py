"""The one record of every setting: the groups of the other files, and what is the host's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.errors import SettingsInvalid
from orchestrator.settings.access import AccessSettings
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.budget import BudgetSettings
from orchestrator.settings.gates import GateSettings
from orchestrator.settings.git import GitSettings
from orchestrator.settings.reliability import ReliabilitySettings
from orchestrator.settings.sandbox import SandboxSettings
from orchestrator.settings.valkey import ValkeySettings
from orchestrator.settings.values import env

OptionsT = TypeVar("OptionsT", bound=BaseModel)

#: What the name of each backend's own options begins with.
BACKEND_PREFIX = "ORCHESTRATOR_BACKENDS__"


_ENVIRONMENT = TypeAdapter(dict[str, str])
#: Shorter values stand in any text by chance.
_LEAST_MASKED = 6


def _passwords(url: str) -> Iterator[str]:
    """Give the passwords of an address, as they are and as they stand in it."""
    address = urlsplit(url)
    if address.password:
        yield from (address.password, unquote(address.password))
    yield from parse_qs(address.query).get("password", ())


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
    ReliabilitySettings,
    BaseSettings,
):
    """What operators may set; every field names its variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

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
    backends: dict[str, dict[str, str]] = Field(default_factory=dict)
    host_env: dict[str, str] = Field(default_factory=dict)
    #: The `.env` and every `*_FILE` that this was read from, or would have been.
    sources: frozenset[Path] = frozenset()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take everything from `load_settings`, which has already merged the sources."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def workspaces_dir(self) -> Path:
        """Where agents' workspaces are made; may be another disk than the home."""
        return self.workspaces or self.home / "workspaces"

    @property
    def agents_dirs(self) -> tuple[Path, ...]:
        """Where programs of agents and gates write."""
        return (self.workspaces_dir, *(self.home / name for name in ("candidates", "containers")))

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for what must never show them; one that holds another comes first."""
        held = (
            self.api_key,
            self.signing_key,
            self.claude_api_key,
            self.anthropic_api_key,
            self.valkey_password,
            self.git_token,
            self.flower_password,
        )
        found = {secret.get_secret_value() for secret in held if secret}
        found |= {*_passwords(self.valkey_url), *self._given_to_programs()}
        return tuple(sorted(found, key=len, reverse=True))

    def _given_to_programs(self) -> Iterator[str]:
        """What the backend `command` puts into environments: any of it may be a key."""
        try:
            given = _ENVIRONMENT.validate_json(self.backends.get("command", {}).get("env", "{}"))
        except ValidationError:
            return  # the backend refuses it
        yield from (value for value in given.values() if len(value) >= _LEAST_MASKED)

    @property
    def secret_files(self) -> frozenset[Path]:
        """What holds secrets outside of the home, for what must never read them."""
        held = (self.secret_allow_list, self.include_dir)
        return self.sources | {path.absolute() for path in held if path}

    def backend_options(self, name: str, model: type[OptionsT]) -> OptionsT:
        """Parse one backend's own options, ORCHESTRATOR_BACKENDS__<NAME>__*.

        Raises:
            SettingsInvalid: an option is unknown or wrong; its variable is named.
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
