"""Every setting: environment, `.env` and `*_FILE` secrets, read once into a frozen record."""

from __future__ import annotations

from orchestrator.settings.access import LOOPBACK
from orchestrator.settings.loading import load_settings, variables
from orchestrator.settings.record import Settings
from orchestrator.settings.values import parse_duration

__all__ = ["LOOPBACK", "Settings", "load_settings", "parse_duration", "variables"]
