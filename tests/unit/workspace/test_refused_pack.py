"""A pack that git refuses before it is written whole is a refusal, and not a killed git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import cast

import pytest

from orchestrator.workspace.inside.git import GitError, Repository
from orchestrator.workspace.inside.retained import Store


class _Scripted:
    """Starts a shell script in place of git."""

    def __init__(self, script: str) -> None:
        self._script = script

    def start(self, *_: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(("sh", "-c", self._script), stdin=stdin, stdout=pipe, stderr=pipe)


def test_the_writer_that_ends_by_the_closed_pipe_was_not_killed(tmp_path: Path) -> None:
    writes = f"trap - PIPE; cat > {tmp_path}/asked; kill -PIPE $$"
    theirs = cast("Repository", _Scripted(writes))
    ours = cast("Repository", _Scripted("echo refused >&2; exit 128"))
    with pytest.raises(GitError, match="refused"):
        Store(theirs, ours).collect([b"one"], [], is_strict=True)
