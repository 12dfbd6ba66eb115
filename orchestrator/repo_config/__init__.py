"""The configuration of a repository, which is read from its base commit only."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from orchestrator.repo_config.reader import ReadFile, read_repo_config
from orchestrator.repo_config.tables import (
    CONFIG_FILES,
    CaptureConfig,
    CoverageOptions,
    DeliveryConfig,
    EnvironmentConfig,
    GateOptions,
    GatesConfig,
    HooksConfig,
    RepoConfig,
)

__all__ = [
    "CONFIG_FILES",
    "CaptureConfig",
    "CoverageOptions",
    "DeliveryConfig",
    "EnvironmentConfig",
    "GateOptions",
    "GatesConfig",
    "HooksConfig",
    "ReadFile",
    "RepoConfig",
    "make_schema",
    "read_repo_config",
    "shipped_schema",
]


def make_schema() -> dict[str, Any]:
    """Return the JSON schema of `orchestrator.toml`, and of `[tool.orchestrator]`."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**draft, **RepoConfig.model_json_schema()}


def schema_text() -> str:
    """Return the text that `schema.json` must have."""
    return json.dumps(make_schema(), indent=2, ensure_ascii=False) + "\n"


def shipped_schema() -> bytes:
    """Return the JSON schema that is shipped as a file."""
    return (files(__name__) / "schema.json").read_bytes()
