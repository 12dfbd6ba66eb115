"""The one record of every setting; groups that many rooms read stand in files of their own."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.errors import SettingsInvalid
from orchestrator.settings.access import AccessSettings
from orchestrator.settings.budget import BudgetSettings
from orchestrator.settings.sandbox import SandboxSettings
from orchestrator.settings.values import Duration, Port, Positive, env, split_names

OptionsT = TypeVar("OptionsT", bound=BaseModel)

#: What the name of each backend's own options begins with.
BACKEND_PREFIX = "ORCHESTRATOR_BACKENDS__"


def _state_home() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "mosaic-orchestrator"


def _check_valkey_url(url: str | None) -> str | None:
    if url is not None and not re.match(r"(redis|rediss|valkey|valkeys|unix)://", url):
        msg = "must start with redis://, rediss://, valkey://, valkeys:// or unix://"
        raise ValueError(msg)
    return url


class Settings(SandboxSettings, BudgetSettings, AccessSettings, BaseSettings):
    """What operators may set; every field names its variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    home: Annotated[Path, AfterValidator(Path.absolute)] = env(
        "ORCHESTRATOR_HOME", default_factory=_state_home
    )
    signing_key: SecretStr | None = env("ORCHESTRATOR_SIGNING_KEY", default=None)

    claude_api_key: SecretStr | None = env("CLAUDE_API_KEY", default=None)
    anthropic_api_key: SecretStr | None = env("ANTHROPIC_API_KEY", default=None)
    anthropic_base_url: str | None = env("ANTHROPIC_BASE_URL", default=None)

    valkey_url_set: Annotated[str | None, AfterValidator(_check_valkey_url)] = env(
        "VALKEY_URL", default=None
    )
    valkey_host: str | None = env("VALKEY_HOST", default=None)
    valkey_port: Port = env("VALKEY_PORT", default=6379)
    valkey_password: SecretStr | None = env("VALKEY_PASSWORD", default=None)
    valkey_tls: bool = env("VALKEY_TLS", default=False)

    git_token: SecretStr | None = env("GIT_TOKEN", default=None)
    git_token_hosts: Annotated[tuple[str, ...], BeforeValidator(split_names)] = env(
        "GIT_TOKEN_HOSTS", default=()
    )
    git_token_command: str | None = env("GIT_TOKEN_COMMAND", default=None)
    git_username: str = env("GIT_USERNAME", default="x-access-token")

    delivery: Literal["branch", "keep"] = env("ORCHESTRATOR_DELIVERY", default="branch")
    push_url: str | None = env("ORCHESTRATOR_PUSH_URL", default=None)
    conflict_policy: Literal["push-branch", "rebase", "reject"] = env(
        "ORCHESTRATOR_CONFLICT_POLICY", default="push-branch"
    )
    forge: Literal["github", "gitlab", "gitea"] | None = env("ORCHESTRATOR_FORGE", default=None)
    forge_url: str | None = env("ORCHESTRATOR_FORGE_URL", default=None)

    coordinator_url: str | None = env("COORDINATOR_URL", default=None)
    yolo_mode: bool = env("YOLO_MODE", default=False)

    agent: str | None = env("ORCHESTRATOR_AGENT", default=None)
    reviewer: str = env("ORCHESTRATOR_REVIEWER", default="claude")
    line_limit_bytes: Positive = env("ORCHESTRATOR_LINE_LIMIT_BYTES", default=16 * 2**20)
    log_lines: Positive = env("ORCHESTRATOR_LOG_LINES", default=10_000)
    change_limit_mib: Annotated[int, Field(ge=1, le=500)] = env(
        "ORCHESTRATOR_CHANGE_LIMIT_MIB", default=64
    )
    git_timeout_s: Duration = env("ORCHESTRATOR_GIT_TIMEOUT", default=300.0)
    secret_allow_list: Path | None = env("ORCHESTRATOR_SECRET_ALLOW_LIST", default=None)
    gate_timeout_s: Duration = env("ORCHESTRATOR_GATE_TIMEOUT", default=1800.0)
    gate_workers: Annotated[int, Field(ge=1, le=64)] = env("ORCHESTRATOR_GATE_WORKERS", default=2)
    stall_s: Duration = env("ORCHESTRATOR_STALL", default=900.0)
    stall_policy: Literal["report", "restart", "fail"] = env(
        "ORCHESTRATOR_STALL_POLICY", default="report"
    )
    checkpoint_s: Duration = env("ORCHESTRATOR_CHECKPOINT", default=120.0)
    hook_timeout_s: Duration = env("ORCHESTRATOR_HOOK_TIMEOUT", default=600.0)
    include_dir: Path | None = env("ORCHESTRATOR_INCLUDE_DIR", default=None)
    lease_s: Duration = env("ORCHESTRATOR_LEASE", default=30.0)
    retention_s: Duration = env("ORCHESTRATOR_RETENTION", default=timedelta(days=7).total_seconds())
    workspaces: Path | None = env("ORCHESTRATOR_WORKSPACES", default=None)
    backends: dict[str, dict[str, str]] = Field(default_factory=dict)
    host_env: dict[str, str] = Field(default_factory=dict)

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

    @model_validator(mode="after")
    def _check_token_has_hosts(self) -> Self:
        if self.git_token is not None and not self.git_token_hosts:
            # Whoever may spawn names the repository: its host must not be theirs to choose.
            msg = "GIT_TOKEN_HOSTS: must name the hosts that GIT_TOKEN is meant for"
            raise ValueError(msg)
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether `orch up` starts a Valkey of its own."""
        return self.valkey_url_set is None and self.valkey_host is None

    @property
    def valkey_url(self) -> str:
        """The one address of Valkey, in the form redis-py and Celery both take."""
        if self.valkey_url_set is not None:
            return re.sub(r"^valkey(s?)://", r"redis\1://", self.valkey_url_set)
        scheme = "rediss" if self.valkey_tls and self.valkey_host else "redis"
        secret = self.valkey_password.get_secret_value() if self.valkey_password else ""
        login = f":{quote(secret, safe='')}@" if secret else ""
        return f"{scheme}://{login}{self.valkey_host or '127.0.0.1'}:{self.valkey_port}/0"

    @property
    def model_key(self) -> SecretStr | None:
        """The key of the model provider: CLAUDE_API_KEY, else ANTHROPIC_API_KEY."""
        return self.claude_api_key or self.anthropic_api_key

    @property
    def default_agent(self) -> str:
        """The backend of a request that names none: claude where it has a key."""
        return self.agent or ("claude" if self.model_key else "scripted")

    @property
    def change_limit_bytes(self) -> int:
        """The largest change that travels."""
        return self.change_limit_mib * 2**20

    @property
    def workspaces_dir(self) -> Path:
        """Where agents' workspaces are made; may be another disk than the home."""
        return self.workspaces or self.home / "workspaces"

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for what must never show them."""
        held = (
            self.api_key,
            self.signing_key,
            self.claude_api_key,
            self.anthropic_api_key,
            self.valkey_password,
            self.git_token,
            self.flower_password,
        )
        return tuple(secret.get_secret_value() for secret in held if secret)

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
