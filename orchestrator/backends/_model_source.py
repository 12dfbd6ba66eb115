"""Where an agent's program finds its model: the egress proxy, or else the provider itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import SecretStr

from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.agent import AgentJob
from orchestrator.settings import Settings

ProviderName = Literal["anthropic", "openai", "gemini", "compatible"]
#: Sent as the key to a server without authentication, because the clients require one.
_NO_KEY = "no-key"
_ACTION = "Set it, or choose another backend."


@dataclass(frozen=True)
class ModelEndpoint:
    """The base address of a provider, and the key that a program sends to it."""

    url: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class ModelSource:
    """One provider of the settings, named as in `ModelAccess.addresses`."""

    name: ProviderName
    url: str | None
    key: SecretStr | None
    #: The setting without which agents cannot use the provider.
    required: str
    #: The variables by which its clients find address and key.
    variables: tuple[str, str]

    @classmethod
    def of(cls, settings: Settings, name: ProviderName) -> ModelSource:
        """Return a provider with the address and key of the settings."""
        given = settings
        return {
            "anthropic": cls(
                name,
                given.anthropic_base_url or "https://api.anthropic.com",
                given.model_key,
                "CLAUDE_API_KEY",
                ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
            ),
            "openai": cls(
                name,
                given.openai_base_url or "https://api.openai.com/v1",
                given.openai_api_key,
                "OPENAI_API_KEY",
                ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
            ),
            "gemini": cls(
                name,
                given.gemini_base_url or "https://generativelanguage.googleapis.com",
                given.gemini_api_key,
                "GEMINI_API_KEY",
                ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"),
            ),
            "compatible": cls(
                name,
                given.compatible_base_url,
                given.compatible_api_key or SecretStr(_NO_KEY),
                "OPENAI_COMPATIBLE_BASE_URL",
                ("OPENAI_COMPATIBLE_BASE_URL", "OPENAI_COMPATIBLE_API_KEY"),
            ),
        }[name]

    @property
    def has_key(self) -> bool:
        """Whether agents can use the provider with the settings."""
        return bool(self.url) and self.key is not None

    def endpoint(self, job: AgentJob | None = None) -> ModelEndpoint:
        """Return what a job's program is given; without a job that of the settings.

        Raises:
            BackendUnavailable: the setting that it requires is missing.
        """
        url, key = self.url, self.key.get_secret_value() if self.key else ""
        if job is not None and job.model is not None:
            url, key = job.model.addresses.get(self.name), job.model.key
        if not url or not key:
            msg = f"{self.required} is not set."
            raise BackendUnavailable(msg, action=_ACTION)
        return ModelEndpoint(url, key)

    def environment(self, job: AgentJob, given: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of this provider, or those of every provider of the egress proxy.

        Address and key of a provider belong together, so one of them in `given` leaves out both.
        """
        if job.model is not None:
            return proxied_environment(job, given)
        if not self.url or self.key is None or set(self.variables) & given.keys():
            return {}
        return dict(zip(self.variables, (self.url, self.key.get_secret_value()), strict=True))


def proxied_environment(job: AgentJob, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of every provider of the egress proxy that `given` does not name.

    Address and key of a provider belong together, so one of them in `given` leaves out both.
    """
    found: dict[str, str] = {}
    for variables in job.model.variables.values() if job.model else ():
        if not variables.keys() & given.keys():
            found |= variables
    return found
