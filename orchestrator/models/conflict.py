"""The record of a conflict between a change and the branch it is meant for."""

from __future__ import annotations

from orchestrator.models.record import Record


class Conflict(Record):
    """A path the merge cannot settle, and why.

    `kind` is git's own word: contents, add/add, modify/delete, rename/rename, binary,
    file/directory, submodule and others.
    """

    path: str
    kind: str
