"""Every setting: environment, `.env` and `*_FILE` secrets, read once into a frozen record."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import quote

from dotenv import dotenv_values
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

OptionsT = TypeVar("OptionsT", bound=BaseModel)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BACKEND_PREFIX = "ORCHESTRATOR_BACKENDS__"
#: What programs we start may see of our own environment; everything else is scrubbed.
_HOST_NAMES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSH_AUTH_SOCK", "https_proxy", "no_proxy")


def parse_duration(text: object) -> float:
    """Parse `90`, `90s`, `5m`, `1.5h` or `250ms` into seconds.

    Raises:
        ValueError: it is none of these, or not positive.
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None or (seconds := float(match[1]) * _UNIT_S[match[2]]) <= 0:
        msg = "must be a positive duration such as 90s, 5m or 2h"
        raise ValueError(msg)
    return seconds


def _state_home() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "mosaic-orchestrator"


def _check_valkey_url(url: str | None) -> str | None:
    if url is not None and not re.match(r"(redis|rediss|valkey|valkeys|unix)://", url):
        msg = "must start with redis://, rediss://, valkey://, valkeys:// or unix://"
        raise ValueError(msg)
    return url


def _split(names: object) -> object:
    return names.lower().replace(",", " ").split() if isinstance(names, str) else names


Duration = Annotated[float, BeforeValidator(parse_duration)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Positive = Annotated[int, Field(ge=1)]


def _env(name: str, **constraints: Any) -> Any:
    return Field(validation_alias=name, **constraints)


class Settings(BaseSettings):
    """What operators may set; every field names its variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    home: Annotated[Path, AfterValidator(Path.absolute)] = _env(
        "ORCHESTRATOR_HOME", default_factory=_state_home
    )
    host: str = _env("ORCHESTRATOR_HOST", default="127.0.0.1")
    port: Port = _env("ORCHESTRATOR_PORT", default=3001)
    api_key: SecretStr | None = _env("ORCHESTRATOR_API_KEY", default=None)
    signing_key: SecretStr | None = _env("ORCHESTRATOR_SIGNING_KEY", default=None)

    claude_api_key: SecretStr | None = _env("CLAUDE_API_KEY", default=None)
    anthropic_api_key: SecretStr | None = _env("ANTHROPIC_API_KEY", default=None)
    anthropic_base_url: str | None = _env("ANTHROPIC_BASE_URL", default=None)

    valkey_url_set: Annotated[str | None, AfterValidator(_check_valkey_url)] = _env(
        "VALKEY_URL", default=None
    )
    valkey_host: str | None = _env("VALKEY_HOST", default=None)
    valkey_port: Port = _env("VALKEY_PORT", default=6379)
    valkey_password: SecretStr | None = _env("VALKEY_PASSWORD", default=None)
    valkey_tls: bool = _env("VALKEY_TLS", default=False)

    git_token: SecretStr | None = _env("GIT_TOKEN", default=None)
    git_token_hosts: Annotated[tuple[str, ...], BeforeValidator(_split)] = _env(
        "GIT_TOKEN_HOSTS", default=()
    )
    git_token_command: str | None = _env("GIT_TOKEN_COMMAND", default=None)
    git_username: str = _env("GIT_USERNAME", default="x-access-token")

    delivery: Literal["branch", "keep"] = _env("ORCHESTRATOR_DELIVERY", default="branch")
    push_url: str | None = _env("ORCHESTRATOR_PUSH_URL", default=None)
    conflict_policy: Literal["push-branch", "rebase", "reject"] = _env(
        "ORCHESTRATOR_CONFLICT_POLICY", default="push-branch"
    )
    forge: Literal["github", "gitlab", "gitea"] | None = _env("ORCHESTRATOR_FORGE", default=None)
    forge_url: str | None = _env("ORCHESTRATOR_FORGE_URL", default=None)

    coordinator_url: str | None = _env("COORDINATOR_URL", default=None)
    sandbox_enabled: bool = _env("SANDBOX_ENABLED", default=False)
    docker_socket: Path = _env("DOCKER_SOCKET", default=Path("/var/run/docker.sock"))
    yolo_mode: bool = _env("YOLO_MODE", default=False)
    max_concurrent_agents: Annotated[int, Field(ge=1, le=1000)] = _env(
        "MAX_CONCURRENT_AGENTS", default=10
    )

    agent: str | None = _env("ORCHESTRATOR_AGENT", default=None)
    reviewer: str = _env("ORCHESTRATOR_REVIEWER", default="claude")
    agent_timeout_s: Duration = _env(
        "ORCHESTRATOR_AGENT_TIMEOUT", default=timedelta(minutes=120).total_seconds()
    )
    line_limit_bytes: Positive = _env("ORCHESTRATOR_LINE_LIMIT_BYTES", default=16 * 2**20)
    log_lines: Positive = _env("ORCHESTRATOR_LOG_LINES", default=10_000)
    change_limit_mib: Annotated[int, Field(ge=1, le=500)] = _env(
        "ORCHESTRATOR_CHANGE_LIMIT_MIB", default=64
    )
    git_timeout_s: Duration = _env("ORCHESTRATOR_GIT_TIMEOUT", default=300.0)
    secret_allow_list: Path | None = _env("ORCHESTRATOR_SECRET_ALLOW_LIST", default=None)
    gate_timeout_s: Duration = _env("ORCHESTRATOR_GATE_TIMEOUT", default=1800.0)
    gate_workers: Annotated[int, Field(ge=1, le=64)] = _env("ORCHESTRATOR_GATE_WORKERS", default=2)
    stall_s: Duration = _env("ORCHESTRATOR_STALL", default=900.0)
    stall_policy: Literal["report", "restart", "fail"] = _env(
        "ORCHESTRATOR_STALL_POLICY", default="report"
    )
    checkpoint_s: Duration = _env("ORCHESTRATOR_CHECKPOINT", default=120.0)
    hook_timeout_s: Duration = _env("ORCHESTRATOR_HOOK_TIMEOUT", default=600.0)
    include_dir: Path | None = _env("ORCHESTRATOR_INCLUDE_DIR", default=None)
    lease_s: Duration = _env("ORCHESTRATOR_LEASE", default=30.0)
    supervisor_deadline_s: Duration = _env("ORCHESTRATOR_SUPERVISOR_DEADLINE", default=10.0)
    retention_s: Duration = _env(
        "ORCHESTRATOR_RETENTION", default=timedelta(days=7).total_seconds()
    )
    workspaces: Path | None = _env("ORCHESTRATOR_WORKSPACES", default=None)
    flower_port: Port = _env("ORCHESTRATOR_FLOWER_PORT", default=5555)
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
    def _check_key_or_loopback(self) -> Self:
        if self.host not in ("127.0.0.1", "::1", "localhost") and self.api_key is None:
            msg = "ORCHESTRATOR_HOST: without ORCHESTRATOR_API_KEY the API listens on loopback only"
            raise ValueError(msg)
        return self

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
            variable = f"{_BACKEND_PREFIX}{name}__{fault['loc'][0]}".upper()
            known = ", ".join(option.upper() for option in model.model_fields)
            unknown = fault["type"] == "extra_forbidden"
            cause = f"there is no such option, only {known}" if unknown else fault["msg"]
            msg = f"{variable}: {cause}."
            raise SettingsInvalid(msg) from error


def variables() -> frozenset[str]:
    """Return the name of every variable a field reads."""
    return frozenset(
        str(field.validation_alias)
        for field in Settings.model_fields.values()
        if field.validation_alias
    )


def load_settings(environ: dict[str, str] | None = None, *, dotenv: Path | None = None) -> Settings:
    """Read the settings: the environment wins over `.env`, a value over its `*_FILE`.

    Raises:
        SettingsInvalid: a value is wrong, an ORCHESTRATOR_* name unknown, a file unreadable.
    """
    given = {name: value or "" for name, value in dotenv_values(dotenv or Path(".env")).items()}
    given |= os.environ if environ is None else environ
    known = variables()
    values: dict[str, Any] = {name: given[name] for name in known if given.get(name)}
    for name in known - values.keys():
        if path := given.get(f"{name}_FILE"):
            values[name] = _read_secret(f"{name}_FILE", path)
    for name in given:
        if name.startswith("ORCHESTRATOR_") and not _is_known(name, known):
            msg = f"{name}: there is no such setting."
            raise SettingsInvalid(msg)
    try:
        host_env = {name: given[name] for name in _HOST_NAMES if given.get(name)}
        return Settings(**values, backends=_backend_options(given), host_env=host_env)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        detail = f"{name}: {message}" if name else message
        raise SettingsInvalid(detail.rstrip(".") + ".") from error


def _is_known(name: str, known: frozenset[str]) -> bool:
    return name in known or name.removesuffix("_FILE") in known or name.startswith(_BACKEND_PREFIX)


def _read_secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"{name}: {path} cannot be read ({error.strerror})."
        raise SettingsInvalid(msg) from error


def _backend_options(given: dict[str, str]) -> dict[str, dict[str, str]]:
    options: dict[str, dict[str, str]] = {}
    for name, value in given.items():
        if name.startswith(_BACKEND_PREFIX):
            backend, _, option = name.removeprefix(_BACKEND_PREFIX).lower().partition("__")
            if not option:
                msg = f"{name}: must be {_BACKEND_PREFIX}<NAME>__<OPTION>."
                raise SettingsInvalid(msg)
            options.setdefault(backend, {})[option] = value
    return options
