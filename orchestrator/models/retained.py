"""The records of retained commits, and of paths and commits that no bundle contains."""

from __future__ import annotations

from typing import Literal

from orchestrator.models.record import Record

RetainedKind = Literal["tree", "branch", "stash", "worktree", "checkpoint"]


class Retained(Record):
    """A retained commit beyond the base that is not in the history of the captured tree.

    `orch export --ref` takes `ref`. The kind `branch` also covers tags, detached commits and
    commits that no ref reaches any more.
    """

    ref: str
    commit: str
    subject: str = ""
    kind: RetainedKind


class LeftOut(Record):
    """Paths or commits left out of every bundle for one reason: their number, and the first."""

    reason: str
    count: int
    paths: tuple[str, ...] = ()
