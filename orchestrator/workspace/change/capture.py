"""The sending side: the command that bundles a change inside the sandbox, and its output."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import (
    ChangeEmpty,
    ChangeTooLarge,
    DiskFull,
    GitFailed,
    OrchestratorError,
    WorkspaceLost,
)
from orchestrator.repo_config import CaptureConfig
from orchestrator.workspace.bundle import UNPACKED_LIMIT_BYTES
from orchestrator.workspace.change.droppings import dropping_patterns
from orchestrator.workspace.disk import reports_full_disk
from orchestrator.workspace.git import IDENTITY, cause
from orchestrator.workspace.inside import program
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

BUNDLE = "change.bundle"
#: More commits beside a change say no more, and each costs a few milliseconds.
MOST_REFS = 100
#: Named of what was left out, for each reason; all are counted.
MOST_PATHS = 50

_INSIDE = Path(program.__file__).parent
# Not by its name in a package: the interpreter of a sandbox has none of ours. The folder is the
# last of the path, so that its subprocess.py does not hide the one of the standard library.
_START = f"""
import gc, sys
gc.disable()
sys.dont_write_bytecode = True
sys.path.append({str(_INSIDE.parent)!r})
from inside.program import main
main()
"""


@dataclass(frozen=True)
class CaptureCommand:
    """What to run in the agent's sandbox; `env` is added to the agent's own."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    #: What it must be able to read there.
    readable: tuple[Path, ...]


def capture_command(
    workspace: Workspace,
    base: Base,
    config: CaptureConfig | None = None,
    *,
    limit_bytes: int = 2**26,
    message: str = "What the agent left",
    most_paths: int = MOST_PATHS,
) -> CaptureCommand:
    """Return the command that leaves the workspace's change where `read_bundle` finds it.

    The one capture of every moment: at the end, at a checkpoint, and after a kill. The agent's
    configuration, index flags, sparse patterns, filters and attributes have no say in it, and the
    change is taken whatever became of the agent's `.git`; the commits in that travel beside it as
    far as they can be read.
    """
    job = {
        "worktree": str(workspace.worktree),
        "base": base.commit,
        "bundle": str(workspace.tmp / BUNDLE),
        "objects": str(base.mirror / "objects"),
        "index": str(workspace.index),
        "droppings": dropping_patterns(config or CaptureConfig()),
        "message": message,
        "limitBytes": limit_bytes,
        "unpackedBytes": UNPACKED_LIMIT_BYTES,
        "mostRefs": MOST_REFS,
        "mostPaths": most_paths,
    }
    return CaptureCommand(
        argv=(sys.executable, "-I", "-S", "-c", _START, json.dumps(job)),
        env={**IDENTITY, "LC_ALL": "C"},
        readable=tuple(sorted(_INSIDE.glob("*.py"))),
    )


def explain(exit_code: int, stderr: bytes) -> OrchestratorError:
    """Return the error that a failed capture command stands for."""
    text = stderr.decode(errors="replace")
    if reports_full_disk(text):
        return DiskFull(f"The workspace's disk is full: {cause(text)}")
    if exit_code == program.LOST:
        return WorkspaceLost()
    if exit_code == program.EMPTY:
        return ChangeEmpty()
    return GitFailed(f"The change could not be captured: {cause(text) or exit_code}")


def read_bundle(workspace: Workspace, limit_bytes: int) -> bytes:
    """Return the bundle the capture command left.

    Every step down is taken without following links: the agent owns these folders.

    Raises:
        ChangeTooLarge: it has more than `limit_bytes`.
        WorkspaceLost: there is no such regular file.
    """
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        root = os.open(workspace.root, folder)
        try:
            tmp = os.open(workspace.tmp.name, folder, dir_fd=root)
        finally:
            os.close(root)
        try:
            # Non-blocking, or a named pipe in its place would hold us for ever.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            bundle = os.open(BUNDLE, flags, dir_fd=tmp)
        finally:
            os.close(tmp)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EACCES):
            raise
        msg = f"The bundle of the change cannot be opened ({error.strerror})."
        raise WorkspaceLost(msg) from error
    if not stat.S_ISREG(os.fstat(bundle).st_mode):
        os.close(bundle)
        msg = "The bundle of the change is not a regular file."
        raise WorkspaceLost(msg)
    with os.fdopen(bundle, "rb") as stream:
        content = stream.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        msg = f"The agent's change has more than {limit_bytes} bytes."
        raise ChangeTooLarge(msg)
    return content
