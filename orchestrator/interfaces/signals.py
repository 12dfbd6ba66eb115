"""The further signals of an agent's output: provider limits, open work, unknown output."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LimitReached:
    """The provider refuses requests until this instant, in seconds since 1970."""

    resets_at_s: float


@dataclass(frozen=True)
class ToolDone:
    """The end of a tool call; `id` is that of its `ToolUse`."""

    id: str
    output: str = ""
    is_failed: bool = False


@dataclass(frozen=True)
class TaskChanged:
    """The start or the end of a background task of the agent."""

    id: str
    is_open: bool


@dataclass(frozen=True)
class OpenTasks:
    """The ids of all background tasks of the agent that run at present."""

    ids: frozenset[str]


@dataclass(frozen=True)
class Foreign:
    """A line or a part of a line that is not an event of the backend's protocol."""

    #: A short description; empty for plain text.
    kind: str
    text: str
    #: Whether the text is the begin of an event that the next lines may complete.
    is_open: bool = False
    #: Whether the text contains a damaged event.
    is_damaged: bool = False


@dataclass(frozen=True)
class FieldRefused:
    """A field of an event with an impossible value; the other fields of the event count."""

    detail: str


StreamFact = LimitReached | ToolDone | TaskChanged | OpenTasks | Foreign | FieldRefused
