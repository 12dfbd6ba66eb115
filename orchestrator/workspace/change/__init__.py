"""An agent's change: captured in its sandbox, received on any host, made one commit."""

from orchestrator.workspace.change.candidate import Candidate, Candidates
from orchestrator.workspace.change.capture import (
    CaptureCommand,
    capture_command,
    explain,
    read_bundle,
    salvage_command,
)
from orchestrator.workspace.change.message import commit_message

__all__ = [
    "Candidate",
    "Candidates",
    "CaptureCommand",
    "capture_command",
    "commit_message",
    "explain",
    "read_bundle",
    "salvage_command",
]
