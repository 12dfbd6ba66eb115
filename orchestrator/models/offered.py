"""The record of what one agent backend offers, for `orch models` and `GET /models`."""

from __future__ import annotations

from pydantic import Field

from orchestrator.models.record import Record
from orchestrator.models.request import AgentType


class DefaultModel(Record):
    """The default model and effort of an agentType; absent for those of the backend."""

    model: str | None = None
    effort: str | None = None


class OfferedModels(Record):
    """One backend: the models and efforts that it takes, its defaults, and whether it can start."""

    agent: str
    #: Whether requests that name no backend get this one.
    is_default: bool = False
    #: Names, or shell patterns of them; empty if the backend takes no model.
    models: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()
    #: The defaults by the options of the backend; absent for those of its program.
    model: str | None = None
    effort: str | None = None
    #: The defaults of each agentType whose default backend is this one.
    default_for: dict[AgentType, DefaultModel] = Field(default_factory=dict)
    #: Whether the key of its provider is set; absent if it needs none, or does not know.
    has_key: bool | None = None
    #: Why it cannot be started here; absent if it can.
    fault: str | None = None
