"""The settings of the connection to Valkey."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, SecretStr

from orchestrator.settings.values import Port, SettingsGroup, env


def _check_url(url: str | None) -> str | None:
    if url is not None and not re.match(r"(redis|rediss|valkey|valkeys|unix)://", url):
        msg = "must start with redis://, rediss://, valkey://, valkeys:// or unix://"
        raise ValueError(msg)
    urlsplit(url)  # raises for an invalid address
    return url


class ValkeySettings(SettingsGroup):
    """The Valkey of the state and the queues. If none is set, `orch up` starts one."""

    valkey_url_set: Annotated[str | None, AfterValidator(_check_url)] = env(
        "VALKEY_URL",
        description="The URL of Valkey: `redis://`, `rediss://` (TLS), `valkey://`, `valkeys://`"
        " (TLS) or `unix://`. It takes precedence over VALKEY_HOST, VALKEY_PORT, VALKEY_PASSWORD"
        " and VALKEY_TLS.",
        default=None,
    )
    valkey_host: str | None = env(
        "VALKEY_HOST",
        description="The host of Valkey. If neither this nor VALKEY_URL is set, `orch up` starts"
        " a Valkey.",
        default=None,
    )
    valkey_port: Port = env(
        "VALKEY_PORT",
        description="The TCP port of Valkey, also of the one that `orch up` starts.",
        default=6379,
    )
    valkey_password: SecretStr | None = env(
        "VALKEY_PASSWORD",
        description="The password of Valkey. If it is not set, `orch up` generates one for its own"
        " Valkey and stores it in `valkey-password` in ORCHESTRATOR_HOME.",
        default=None,
    )
    valkey_tls: bool = env(
        "VALKEY_TLS",
        description="`true`: use TLS for the connection to VALKEY_HOST.",
        default=False,
    )

    @property
    def is_embedded(self) -> bool:
        """Whether `orch up` starts a Valkey of its own."""
        return self.valkey_url_set is None and self.valkey_host is None

    @property
    def valkey_url(self) -> str:
        """The address of Valkey, in the form that redis-py and Celery accept."""
        if self.valkey_url_set is not None:
            return re.sub(r"^valkey(s?)://", r"redis\1://", self.valkey_url_set)
        scheme = "rediss" if self.valkey_tls and self.valkey_host else "redis"
        secret = self.valkey_password.get_secret_value() if self.valkey_password else ""
        login = f":{quote(secret, safe='')}@" if secret else ""
        return f"{scheme}://{login}{self.valkey_host or '127.0.0.1'}:{self.valkey_port}/0"
