"""The sending side: the command that bundles a change inside the sandbox, and its output."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import (
    ChangeEmpty,
    ChangeTooLarge,
    DiskFull,
    GitFailed,
    OrchestratorError,
    WorkspaceLost,
)
from orchestrator.workspace.clone import Workspace
from orchestrator.workspace.disk import reports_full_disk
from orchestrator.workspace.git import IDENTITY, config_environment, showable
from orchestrator.workspace.mirror import Base

_BUNDLE = "change.bundle"
_LOST, _EMPTY = 71, 72

_OPEN = """
closed="( -type d ! -perm -u+rwx -o -type f ! -perm -u+r )"
find "$worktree" $closed -exec chmod u+rwX {} ";"
"""

# The agent's configuration, filters and attributes are hostile, so this runs as the agent, where
# they can do no more than the agent could. The tree as it stands becomes one closing commit on
# whatever HEAD is now: a rewound, rewritten or unborn branch makes no difference, no hook or
# signature is asked for, and the agent's own commits travel along behind it. What the agent closed
# to itself is opened first: `git add` would leave such a folder's files out and call it a success.
_SCRIPT = f"""
worktree=$1 base=$2 bundle=$3
{_OPEN}
export GIT_DIR="$worktree/.git" GIT_WORK_TREE="$worktree"
cd "$worktree" && git cat-file -e "$base^{{commit}}" || exit {_LOST}
rm -f "$GIT_DIR/index.lock"
git add -A &&
tree=$(git write-tree) &&
base_tree=$(git rev-parse --verify "$base^{{tree}}") || exit 1
[ "$tree" != "$base_tree" ] || exit {_EMPTY}
parent=$(git rev-parse --quiet --verify "HEAD^{{commit}}") || parent=$base
tip=$(git commit-tree "$tree" -p "$parent" -m "What the agent left") &&
git update-ref refs/orchestrator/change "$tip" &&
mkdir -p "${{bundle%/*}}" && rm -rf "$bundle" "$bundle.lock" &&
git bundle create --quiet "$bundle" refs/orchestrator/change "^$base" || exit 1
"""

# After a kill or a failure nothing of the agent's configuration may run any more: the tree alone,
# as far as it can be read, in a repository that the agent never had.
_SALVAGE_SCRIPT = f"""
worktree=$1 base=$2 bundle=$3 mirror=$4
repository="${{bundle%/*}}/salvage.git"
mkdir -p "${{bundle%/*}}" && rm -rf "$repository" "$bundle" "$bundle.lock" &&
git init --quiet --bare --template= "$repository" &&
echo "$mirror/objects" > "$repository/objects/info/alternates" || exit 1
export GIT_DIR="$repository" GIT_WORK_TREE="$worktree"
{_OPEN}
cd "$worktree" && git read-tree "$base" || exit {_LOST}
git add -A --ignore-errors
tree=$(git write-tree) && base_tree=$(git rev-parse --verify "$base^{{tree}}") || exit 1
[ "$tree" != "$base_tree" ] || exit {_EMPTY}
tip=$(git commit-tree "$tree" -p "$base" -m "What the agent left when it was stopped") &&
git update-ref refs/orchestrator/change "$tip" &&
git bundle create --quiet "$bundle" refs/orchestrator/change "^$base" || exit 1
"""


@dataclass(frozen=True)
class CaptureCommand:
    """What to run in the agent's sandbox; `env` is added to the agent's own."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


def capture_command(workspace: Workspace, base_commit: str) -> CaptureCommand:
    """Return the command that leaves the workspace's change where `read_bundle` finds it."""
    return _command(_SCRIPT, workspace, base_commit)


def salvage_command(workspace: Workspace, base: Base) -> CaptureCommand:
    """Return the command that leaves what a stopped agent had changed, its own commits aside."""
    return _command(_SALVAGE_SCRIPT, workspace, base.commit, str(base.mirror))


def _command(script: str, workspace: Workspace, base_commit: str, *more: str) -> CaptureCommand:
    return CaptureCommand(
        argv=(
            *("sh", "-c", script, "capture"),
            *(str(workspace.worktree), base_commit, str(workspace.tmp / _BUNDLE), *more),
        ),
        env={
            **IDENTITY,
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            # Not for safety, which is the sandbox's: a broken hook must not lose the work.
            **config_environment({"core.hooksPath": os.devnull, "core.fsmonitor": "false"}),
        },
    )


def explain(exit_code: int, stderr: bytes) -> OrchestratorError:
    """Return the error that a failed capture command stands for."""
    text = stderr.decode(errors="replace")
    if reports_full_disk(text):
        return DiskFull(f"The workspace's disk is full: {showable(text)}")
    if exit_code == _LOST:
        return WorkspaceLost()
    if exit_code == _EMPTY:
        return ChangeEmpty()
    return GitFailed(f"The change could not be captured: {showable(text) or exit_code}")


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
            bundle = os.open(_BUNDLE, flags, dir_fd=tmp)
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
