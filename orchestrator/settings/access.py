"""The settings of access to the API and to Flower."""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from orchestrator.settings.values import Port, SettingsGroup, env, split_names

#: The names of this machine at which only its own processes reach the API.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: A browser sends a login in ASCII, and the first colon ends the name.
_LOGIN = re.compile(r"[!-9;-~]+")


def _check_login(name: str) -> str:
    if not _LOGIN.fullmatch(name):
        msg = "must consist of ASCII letters, digits and signs, without a colon"
        raise ValueError(msg)
    return name


def _check_password(password: SecretStr) -> SecretStr:
    text = password.get_secret_value()
    if not text.isascii() or not text.isprintable():
        msg = "must consist of printable ASCII signs"
        raise ValueError(msg)
    return password


def check_api_url(text: str) -> str:
    """Return the base address of an API without a slash at its end.

    Raises:
        ValueError: the text is no http or https address.
    """
    parts = urlsplit(text.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        msg = "must be an http:// or https:// address, such as https://orch.example"
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = "must carry no login: set ORCHESTRATOR_API_KEY"
        raise ValueError(msg)
    return text.strip().rstrip("/")


ApiUrl = Annotated[str, AfterValidator(check_api_url)]


class AccessSettings(SettingsGroup):
    """Where the API and Flower listen, and how they authenticate clients."""

    host: str = env(
        "ORCHESTRATOR_HOST",
        description="The address that the API listens on. An address other than loopback requires"
        " ORCHESTRATOR_API_KEY.",
        default="127.0.0.1",
    )
    port: Port = env(
        "ORCHESTRATOR_PORT",
        description="The TCP port of the API and of the dashboard.",
        default=3001,
    )
    api_url: ApiUrl | None = env(
        "ORCHESTRATOR_API_URL",
        description="The address of the HTTP API that `orch` uses instead of Valkey, with"
        " ORCHESTRATOR_API_KEY. `orch --api` and `orch --context` override it.",
        default=None,
    )
    context: str | None = env(
        "ORCHESTRATOR_CONTEXT",
        description="The context that `orch` uses (`orch context ls`), if ORCHESTRATOR_API_URL is"
        " not set. `orch --context` overrides it.",
        default=None,
    )
    api_key: SecretStr | None = env(
        "ORCHESTRATOR_API_KEY",
        description="An API key with all scopes, beside those of `orch keys add`.",
        default=None,
    )
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(split_names)] = env(
        "ORCHESTRATOR_ALLOWED_HOSTS",
        description="Host names under which clients may reach the API, in addition to loopback,"
        " separated by commas or spaces. The API answers 421 to any other `Host`. If this is set,"
        " every client needs an API key.",
        default=(),
    )
    spawn_rate: Annotated[int, Field(ge=0)] = env(
        "ORCHESTRATOR_SPAWN_RATE",
        description="The number of spawns and retries that one API key may request per minute. 0"
        " means no limit.",
        default=10,
    )
    flower_port: Port = env(
        "ORCHESTRATOR_FLOWER_PORT",
        description="The TCP port of Flower. It listens on loopback only.",
        default=5555,
    )
    flower_user: Annotated[str, AfterValidator(_check_login)] = env(
        "ORCHESTRATOR_FLOWER_USER",
        description="Flower's user name: ASCII without a colon.",
        default="orch",
    )
    flower_password: Annotated[SecretStr, AfterValidator(_check_password)] | None = env(
        "ORCHESTRATOR_FLOWER_PASSWORD",
        description="The password of Flower's login: printable ASCII. If it is not set, the"
        " system generates one and stores it in `flower-password` in ORCHESTRATOR_HOME.",
        default=None,
    )

    @model_validator(mode="after")
    def _check_key_or_loopback(self) -> Self:
        if self.host not in LOOPBACK and not self.api_key:
            msg = "ORCHESTRATOR_HOST: without ORCHESTRATOR_API_KEY the API listens on loopback only"
            raise ValueError(msg)
        return self
