"""An agent's change: its capture in the sandbox, its import on any host, and its one commit."""

from orchestrator.workspace.change.candidate import Candidate, Candidates
from orchestrator.workspace.change.capture import (
    REPORTED,
    CaptureCommand,
    capture_command,
    explain,
    read_bundle,
)
from orchestrator.workspace.change.message import commit_message
from orchestrator.workspace.change.report import CaptureReport, read_report

__all__ = [
    "REPORTED",
    "Candidate",
    "Candidates",
    "CaptureCommand",
    "CaptureReport",
    "capture_command",
    "commit_message",
    "explain",
    "read_bundle",
    "read_report",
]
