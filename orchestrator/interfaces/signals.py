"""What a backend reads in an agent's output beside its words: limits, open work, and the unread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LimitReached:
    """The model's provider takes no requests before this instant, in seconds since 1970."""

    resets_at_s: float


@dataclass(frozen=True)
class ToolDone:
    """A tool gave its result; `id` is that of its `ToolUse`."""

    id: str


@dataclass(frozen=True)
class TaskChanged:
    """Something that runs beside the agent's turns was started, or has ended."""

    id: str
    is_open: bool


@dataclass(frozen=True)
class OpenTasks:
    """All that runs beside the agent's turns by now."""

    ids: frozenset[str]


@dataclass(frozen=True)
class Foreign:
    """A line, or a part of one, that is no event of the backend's protocol."""

    #: What it is, in a few words; empty for plain text.
    kind: str
    text: str
    #: It begins as an event and is not closed: the next lines may be the rest of it.
    is_open: bool = False
    #: It holds a damaged event, not only something that never was one.
    is_damaged: bool = False


@dataclass(frozen=True)
class FieldRefused:
    """A field of an event that cannot be what it says; the rest of the event counts."""

    detail: str


StreamFact = LimitReached | ToolDone | TaskChanged | OpenTasks | Foreign | FieldRefused
