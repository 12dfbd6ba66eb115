"""The settings of who may ask, and where."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Port, env, split_names

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


class AccessSettings(BaseSettings):
    """Where the API and Flower listen, and what they ask for."""

    host: str = env(
        "ORCHESTRATOR_HOST",
        description="The address the API listens on; beyond loopback it needs"
        " ORCHESTRATOR_API_KEY.",
        default="127.0.0.1",
    )
    port: Port = env(
        "ORCHESTRATOR_PORT", description="The port of the API and the dashboard.", default=3001
    )
    api_key: SecretStr | None = env(
        "ORCHESTRATOR_API_KEY",
        description="A key of all scopes, beside those of `orch keys add`.",
        default=None,
    )
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(split_names)] = env(
        "ORCHESTRATOR_ALLOWED_HOSTS",
        description="Names under which the API may be reached beside those of loopback, by commas"
        " or blanks; any other `Host` is answered 421. With any, nobody is let in without a key.",
        default=(),
    )
    spawn_rate: Annotated[int, Field(ge=0)] = env(
        "ORCHESTRATOR_SPAWN_RATE",
        description="Spawns and retries a minute of each key; 0 for no limit.",
        default=10,
    )
    flower_port: Port = env(
        "ORCHESTRATOR_FLOWER_PORT",
        description="The port of Flower, on loopback always.",
        default=5555,
    )
    flower_user: Annotated[str, AfterValidator(_check_login)] = env(
        "ORCHESTRATOR_FLOWER_USER",
        description="Flower's login: ASCII without a colon.",
        default="orch",
    )
    flower_password: Annotated[SecretStr, AfterValidator(_check_password)] | None = env(
        "ORCHESTRATOR_FLOWER_PASSWORD",
        description="Flower's password, printable ASCII; without it one is made once, in"
        " `flower-password` of the home.",
        default=None,
    )

    @model_validator(mode="after")
    def _check_key_or_loopback(self) -> Self:
        if self.host not in ("127.0.0.1", "::1", "localhost") and not self.api_key:
            msg = "ORCHESTRATOR_HOST: without ORCHESTRATOR_API_KEY the API listens on loopback only"
            raise ValueError(msg)
        return self
