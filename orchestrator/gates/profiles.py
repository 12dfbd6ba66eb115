"""The gates there are and which profile asks for which: `profiles.toml`, parsed."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.models import GateProfile, Stage

#: No gate of any profile: the name under which a rejection for secrets stands in a report.
SECRETS = "secrets"
#: Nor these: what was left half done, and a change that git refuses.
WORKTREE = "worktree"
CHANGE = "change"


class GateKind(BaseModel):
    """What holds of a gate in every repository."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    minimum: float | None = None
    #: Whether it runs a command at all.
    command: bool = True


class Profiles(BaseModel):
    """`profiles.toml`: every gate there is, in the order they are shown, and who asks for which."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profiles: dict[GateProfile, tuple[str, ...]]
    gates: dict[str, GateKind]


@functools.cache
def profiles() -> Profiles:
    """Return the profiles this system ships."""
    text = Path(__file__).with_name("profiles.toml").read_text(encoding="utf-8")
    return Profiles.model_validate(tomllib.loads(text))
