"""The records of retained commits, and of paths and commits that no bundle contains."""

from __future__ import annotations

from typing import Literal

from orchestrator.models.record import Record

RetainedKind = Literal["tree", "branch", "stash", "worktree", "checkpoint"]


class Retained(Record):
    """A retained commit with contents beyond the base that the captured tree does not have.

    `orch export --ref` takes `ref`. The kind `branch` also covers tags, detached commits and
    commits that no ref reaches any more. The kind `checkpoint` is the history of the change: the
    agent's own commits with contents that the change does not have, which no delivery pushes.
    """

    ref: str
    commit: str
    subject: str = ""
    kind: RetainedKind
    #: An earlier attempt whose change the newest one does not contain; `ref` is `attempt-<number>`.
    attempt: int | None = None


class LeftOut(Record):
    """Paths or commits left out of every bundle for one reason: their number, and the first."""

    reason: str
    count: int
    paths: tuple[str, ...] = ()
    #: The last attempt that left them out.
    attempt: int | None = None
