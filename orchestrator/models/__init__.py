"""The records every room shares: frozen, closed pydantic models with camelCase wire names."""

from __future__ import annotations

from orchestrator.models.event import (
    LifecycleEvent,
    LogLine,
)
from orchestrator.models.gates import (
    Finding,
    GateProfile,
    GateReport,
    GateResult,
    GateStatus,
    Stage,
    Verdict,
)
from orchestrator.models.record import (
    Instant,
    Record,
    faults_of,
    iso_instant,
)
from orchestrator.models.request import (
    DEFAULT_PROFILE,
    AgentType,
    SpawnContext,
    SpawnRequest,
    WorkItem,
)
from orchestrator.models.state import (
    AgentState,
    Outcome,
    Phase,
    Status,
    TaskState,
    TaskStatus,
    Usage,
)

__all__ = [
    "DEFAULT_PROFILE",
    "AgentState",
    "AgentType",
    "Finding",
    "GateProfile",
    "GateReport",
    "GateResult",
    "GateStatus",
    "Instant",
    "LifecycleEvent",
    "LogLine",
    "Outcome",
    "Phase",
    "Record",
    "SpawnContext",
    "SpawnRequest",
    "Stage",
    "Status",
    "TaskState",
    "TaskStatus",
    "Usage",
    "Verdict",
    "WorkItem",
    "faults_of",
    "iso_instant",
]
