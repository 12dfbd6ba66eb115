"""Process sandboxes of a chosen level."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.sandboxes.process import ProcessSandbox, build
from orchestrator.settings import Settings, load_settings

LEVELS = ("bubblewrap", "cgroup", "shim")


def settings_at(level: str, home: Path, *, dotenv: Path | None = None, **more: str) -> Settings:
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root")}
    environ |= {"ORCHESTRATOR_PROCESS_LEVEL": level, "ORCHESTRATOR_HOME": str(home)}
    return load_settings(environ | more, dotenv=dotenv or home / "no.env")


def sandbox_at(
    level: str, home: Path, *, dotenv: Path | None = None, **more: str
) -> ProcessSandbox:
    try:
        return build(settings_at(level, home, dotenv=dotenv, **more))
    except SettingsInvalid as lack:
        pytest.skip(str(lack))
