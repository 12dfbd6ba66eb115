"""What may not leave: secrets found in what agents made, before any of it is sent on."""

from __future__ import annotations

from orchestrator.secretscan.allowlist import AllowList
from orchestrator.secretscan.sarif import sarif
from orchestrator.secretscan.scanner import UNSCANNABLE, ScannedText, Scanner, masked

__all__ = ["UNSCANNABLE", "AllowList", "ScannedText", "Scanner", "masked", "sarif"]
