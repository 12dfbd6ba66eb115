"""The settings of who may ask, and where."""

from __future__ import annotations

from typing import Self

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Port, env


class AccessSettings(BaseSettings):
    """Where the API and Flower listen, and what they ask for."""

    host: str = env("ORCHESTRATOR_HOST", default="127.0.0.1")
    port: Port = env("ORCHESTRATOR_PORT", default=3001)
    api_key: SecretStr | None = env("ORCHESTRATOR_API_KEY", default=None)
    flower_port: Port = env("ORCHESTRATOR_FLOWER_PORT", default=5555)

    @model_validator(mode="after")
    def _check_key_or_loopback(self) -> Self:
        if self.host not in ("127.0.0.1", "::1", "localhost") and self.api_key is None:
            msg = "ORCHESTRATOR_HOST: without ORCHESTRATOR_API_KEY the API listens on loopback only"
            raise ValueError(msg)
        return self
