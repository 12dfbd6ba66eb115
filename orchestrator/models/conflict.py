"""The record of a conflict between a change and its base branch."""

from __future__ import annotations

from orchestrator.models.record import Record


class Conflict(Record):
    """A path that git cannot merge, and the reason.

    `kind` is the word that git prints: contents, add/add, modify/delete, rename/rename, binary,
    file/directory, submodule and others.
    """

    path: str
    kind: str
