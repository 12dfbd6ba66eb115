"""The settings of repositories' environments."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ByteSize, Field

from orchestrator.settings.values import Duration, SettingsGroup, env


def _split(names: object) -> object:
    return names.replace(",", " ").split() if isinstance(names, str) else names


class EnvironmentSettings(SettingsGroup):
    """How a repository's dependencies are installed for its agents and gates."""

    environments: Literal["auto", "configured", "off"] = env(
        "ORCHESTRATOR_ENVIRONMENTS",
        description="`auto`: install the dependencies of a repository once for all its agents and"
        " gates, as [environment] or its lock files and manifests say. `configured`: only if"
        " [environment] has `setup`. `off`: never.",
        default="auto",
    )
    environments_quota_bytes: Annotated[ByteSize, Field(ge=1)] = env(
        "ORCHESTRATOR_ENVIRONMENTS_QUOTA",
        description="The disk space of all environments of this host, such as 20GiB. Beyond it,"
        " those used longest ago and not in use are removed.",
        default=ByteSize(20 * 2**30),
    )
    setup_timeout_s: Duration = env(
        "ORCHESTRATOR_SETUP_TIMEOUT",
        description="The time limit of the set-up of one environment.",
        default=1800.0,
    )
    setup_variables: Annotated[tuple[str, ...], BeforeValidator(_split)] = env(
        "ORCHESTRATOR_SETUP_VARIABLES",
        description="The variables of the worker's environment that set-ups get, by name and"
        " separated by commas or spaces, such as PIP_INDEX_URL. Their values are masked in"
        " messages. Agents and gates do not get them.",
        default=(),
    )
    #: The values of `setup_variables`.
    setup_values: dict[str, str] = Field(default_factory=dict, repr=False)
