"""How an attempt can end, as values: a stage returns one, and `AgentLeases.apply` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.errors import OrchestratorError, ProviderLimited

#: Fields of the agent's record, as the wire names them, that are written with the end.
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class EnqueueForGates:
    """The change is captured and stored: the gates pool goes on with it."""

    #: The change, which is stored again where a failover of Valkey loses it.
    bundle: bytes = field(repr=False)
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class RequestRework:
    """The gates rejected the change: the spawn pool gives the agent another round."""

    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Complete:
    """The change is delivered: the agent has completed."""

    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Fail:
    """The agent has failed for this error."""

    error: OrchestratorError
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Reschedule:
    """Another attempt goes on where this one is, after a delay; `counts` spends a recovery."""

    error: OrchestratorError
    delay_s: float = 0.0
    counts: bool = False


@dataclass(frozen=True)
class AwaitProvider:
    """Another attempt goes on once the model's provider takes requests again."""

    error: ProviderLimited
    #: Until this instant no agent of the backend starts; this one waits `jitter_s` longer.
    until: datetime
    jitter_s: float = 0.0


@dataclass(frozen=True)
class NotOurs:
    """The agent has ended, or belongs to another attempt: nothing is written."""

    error: OrchestratorError


@dataclass(frozen=True)
class Abandon:
    """Valkey takes no end of this attempt: its lease runs out, and the rescuer recovers it."""

    error: OrchestratorError


#: What `decide` makes of an error.
RetryDecision = Fail | Reschedule | AwaitProvider | NotOurs | Abandon
AttemptResult = EnqueueForGates | RequestRework | Complete | RetryDecision
