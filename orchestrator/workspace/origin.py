"""The attempt and base of a workspace, in a file beside it that exists while work is unsaved."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.workspace.mirror import Base


class Origin(BaseModel):
    """The attempt that works in a workspace, and the commit it started from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent_id: str
    attempt: int
    mirror: Path
    base_commit: str

    @property
    def base(self) -> Base:
        """The commit from which the attempt started."""
        return Base(self.mirror, self.base_commit)


def write_document(path: Path, document: BaseModel) -> None:
    """Replace a file by this document atomically, so that a crash leaves the old or the new one."""
    making = path.with_name(f"{path.name}.new")
    with making.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(document.model_dump(mode="json")))
        stream.flush()
        os.fsync(stream.fileno())
    making.replace(path)


def read_origin(path: Path) -> Origin | None:
    """Read a workspace's origin; None if there is no readable one."""
    try:
        return Origin.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
