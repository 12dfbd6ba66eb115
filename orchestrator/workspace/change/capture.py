"""The command that captures a change as a bundle in the sandbox, and the reading of it."""

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
    GitKilled,
    OrchestratorError,
    WorkspaceLost,
)
from orchestrator.repo_config import CaptureConfig
from orchestrator.workspace.bundle import UNPACKED_LIMIT_BYTES
from orchestrator.workspace.change.droppings import dropping_patterns
from orchestrator.workspace.change.report import CaptureReport
from orchestrator.workspace.disk import reports_unwritable_disk
from orchestrator.workspace.git import IDENTITY, cause
from orchestrator.workspace.inside import program
from orchestrator.workspace.mirror import Base
from orchestrator.workspace.worktree import Workspace

BUNDLE = "change.bundle"
#: More commits beside a change are of no use, and each costs a few milliseconds.
MOST_REFS = 100
#: The maximum number of left out paths that a report names for each reason; it counts all.
MOST_PATHS = 10
#: The exit codes with which the command writes a report.
REPORTED = (0, program.LOST, program.EMPTY)
#: An error names at most so many left out paths for each reason.
_SHOWN = 3
_LEFT_OUT_ACTION = (
    "If these belong to the change, lift the pattern: [capture] include in the repository's"
    " configuration, or .gitignore."
)

_INSIDE = Path(program.__file__).parent
# The program is not started by its module name, because the sandbox has no package `orchestrator`.
# The folder is last in the path, so that none of our modules hides one of the standard library.
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
    """The capture command for the agent's sandbox; `env` is added to the agent's environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    #: The paths that the command must be able to read in the sandbox.
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
    """Return the command that writes the workspace's change where `read_bundle` finds it.

    The same capture is used at the end, at a checkpoint and after a kill. It ignores the agent's
    configuration, index flags, sparse patterns, filters and attributes. It captures the change
    whatever the state of the agent's `.git` is. The bundle also contains the readable commits of
    that repository beside the change.
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


def explain(
    exit_code: int, stderr: bytes, report: CaptureReport | None = None
) -> OrchestratorError:
    """Return the error for a capture command that wrote no bundle."""
    text = stderr.decode(errors="replace")
    if reports_unwritable_disk(text):
        return DiskFull(f"The workspace's disk is full: {cause(text)}")
    if exit_code == program.LOST:
        return WorkspaceLost()
    if exit_code == program.EMPTY:
        if report is None or not report.left_out:
            return ChangeEmpty()
        shown = "; ".join(
            f"{', '.join(one.paths[:_SHOWN])} ({one.reason}, {one.count} in all)"
            for one in report.left_out
        )
        msg = f"The agent changed nothing that a change may contain. Left out: {shown}."
        return ChangeEmpty(msg, action=_LEFT_OUT_ACTION)
    if exit_code < 0 or exit_code == program.KILLED:
        by = f"signal {-exit_code}" if exit_code < 0 else cause(text)
        return GitKilled(f"The capture of the change was ended: {by}.")
    return GitFailed(f"The change could not be captured: {cause(text) or exit_code}")


def read_bundle(workspace: Workspace, limit_bytes: int) -> bytes:
    """Return the bundle that the capture command wrote.

    No step of the path follows a link, because the agent owns these folders.

    Raises:
        ChangeTooLarge: it has more than `limit_bytes`.
        WorkspaceLost: no such regular file exists.
    """
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        root = os.open(workspace.root, folder)
        try:
            tmp = os.open(workspace.tmp.name, folder, dir_fd=root)
        finally:
            os.close(root)
        try:
            # Non-blocking, because opening a named pipe would block for ever.
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
