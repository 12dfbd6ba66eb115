"""The scan for secrets in changes, before any part of them is sent to a remote."""

from __future__ import annotations

from orchestrator.secretscan.allowlist import AllowList
from orchestrator.secretscan.sarif import sarif
from orchestrator.secretscan.scanner import UNSCANNABLE, ScannedText, Scanner, masked

__all__ = ["UNSCANNABLE", "AllowList", "ScannedText", "Scanner", "masked", "sarif"]
