"""The gates and the profiles that select them: `profiles.toml`, parsed."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.models import GateProfile, Stage

#: No gate of any profile: the name in a report of a rejection for secret findings.
SECRETS = "secrets"
#: No gate either: the name in a report for unfinished git operations and a change that git refuses.
WORKTREE = "worktree"
CHANGE = "change"


class GateKind(BaseModel):
    """The properties of a gate in every repository."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    minimum: float | None = None
    #: Whether the gate runs a command.
    command: bool = True


class Profiles(BaseModel):
    """`profiles.toml`: every gate, in the order of display, and the gates of each profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profiles: dict[GateProfile, tuple[str, ...]]
    gates: dict[str, GateKind]


@functools.cache
def profiles() -> Profiles:
    """Return the profiles of this distribution."""
    text = Path(__file__).with_name("profiles.toml").read_text(encoding="utf-8")
    return Profiles.model_validate(tomllib.loads(text))
