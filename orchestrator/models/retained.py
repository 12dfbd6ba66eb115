"""The records of what an agent left beside its change, and of what is no part of either."""

from __future__ import annotations

from typing import Literal

from orchestrator.models.record import Record

RetainedKind = Literal["tree", "branch", "stash", "worktree", "checkpoint"]


class Retained(Record):
    """A commit beyond the base that is kept and is no part of the captured tree's history.

    `ref` is what `orch export --ref` takes; kind `branch` holds tags, detached commits and
    commits that no ref leads to any more, too.
    """

    ref: str
    commit: str
    subject: str = ""
    kind: RetainedKind


class LeftOut(Record):
    """Paths or commits that are in no bundle for one reason: how many, and the first of them."""

    reason: str
    count: int
    paths: tuple[str, ...] = ()
