"""The records that all packages share: frozen, closed pydantic models, camelCase on the wire."""

from __future__ import annotations

from orchestrator.models.access import ApiKey, Caller, KeyName, KeyScope, Login
from orchestrator.models.audit import (
    AuditAction,
    AuditDraft,
    AuditEntry,
    AuditFault,
    AuditHead,
    AuditMark,
    AuditVerdict,
)
from orchestrator.models.budget import (
    AgentSpend,
    BudgetLimits,
    BudgetStatus,
    BudgetSummary,
    Spend,
)
from orchestrator.models.conflict import (
    Conflict,
)
from orchestrator.models.event import (
    LifecycleEvent,
    LogLine,
)
from orchestrator.models.fleet import AgentSummary, Fleet
from orchestrator.models.gates import (
    Finding,
    GateProfile,
    GateReport,
    GateResult,
    GateStatus,
    NotJudged,
    Stage,
    Verdict,
)
from orchestrator.models.killing import Halt, KillReport, KillScope, Receipt
from orchestrator.models.model_choice import Fallback, FallbackRecord, ModelChoice
from orchestrator.models.queues import Pause, QueueState
from orchestrator.models.record import (
    Instant,
    Record,
    faults_of,
    iso_instant,
)
from orchestrator.models.request import (
    DEFAULT_PROFILE,
    AgentType,
    PathPattern,
    SpawnContext,
    SpawnRequest,
    WorkItem,
)
from orchestrator.models.retained import LeftOut, Retained, RetainedKind
from orchestrator.models.secret import (
    SecretFinding,
)
from orchestrator.models.state import (
    AgentState,
    EgressCounts,
    NotSaved,
    Outcome,
    PartialRecord,
    Phase,
    Status,
    TaskState,
    TaskStatus,
)
from orchestrator.models.tokens import (
    ApiTokens,
    implausible,
)
from orchestrator.models.usage import (
    Usage,
)

__all__ = [
    "DEFAULT_PROFILE",
    "AgentSpend",
    "AgentState",
    "AgentSummary",
    "AgentType",
    "ApiKey",
    "ApiTokens",
    "AuditAction",
    "AuditDraft",
    "AuditEntry",
    "AuditFault",
    "AuditHead",
    "AuditMark",
    "AuditVerdict",
    "BudgetLimits",
    "BudgetStatus",
    "BudgetSummary",
    "Caller",
    "Conflict",
    "EgressCounts",
    "Fallback",
    "FallbackRecord",
    "Finding",
    "Fleet",
    "GateProfile",
    "GateReport",
    "GateResult",
    "GateStatus",
    "Halt",
    "Instant",
    "KeyName",
    "KeyScope",
    "KillReport",
    "KillScope",
    "LeftOut",
    "LifecycleEvent",
    "LogLine",
    "Login",
    "ModelChoice",
    "NotJudged",
    "NotSaved",
    "Outcome",
    "PartialRecord",
    "PathPattern",
    "Pause",
    "Phase",
    "QueueState",
    "Receipt",
    "Record",
    "Retained",
    "RetainedKind",
    "SecretFinding",
    "SpawnContext",
    "SpawnRequest",
    "Spend",
    "Stage",
    "Status",
    "TaskState",
    "TaskStatus",
    "Usage",
    "Verdict",
    "WorkItem",
    "faults_of",
    "implausible",
    "iso_instant",
]
