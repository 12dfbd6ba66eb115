"""The one tree of errors: each class has a stable code, whether a retry can help, and what to do.

A class's docstring is its default message; `str(error)` is always one line a user can act on.
"""

from __future__ import annotations

from orchestrator.errors.agents import (
    AgentCrashed,
    AgentEnded,
    AgentFailed,
    AgentGarbled,
    AgentKilled,
    AgentRestarting,
    AgentStalled,
    AgentTimedOut,
    BackendUnavailable,
    BackendUnknown,
    Halted,
    HookFailed,
    HooksInvalid,
    KillUnconfirmed,
    LeaseLost,
    OutputTooLong,
    ProviderLimited,
    WaitTimedOut,
    WorkerStopping,
)
from orchestrator.errors.audit import (
    AuditBroken,
    AuditBusy,
)
from orchestrator.errors.forges import (
    ForgeRefused,
    ForgeUnavailable,
)
from orchestrator.errors.gates import (
    CoordinatorRefused,
    CoordinatorUnavailable,
    GatesRejected,
    PlanInvalid,
)
from orchestrator.errors.git import (
    BranchUnknown,
    ChangeConflicts,
    ChangeEmpty,
    ChangeMissing,
    ChangeRefused,
    ChangeTooLarge,
    CredentialsUnavailable,
    DiskFull,
    GitFailed,
    GitTimedOut,
    IncludeTooLarge,
    PushFailed,
    PushRefused,
    RepositoryEmpty,
    RepositoryUnavailable,
    TargetMoves,
    WorkspaceLost,
)
from orchestrator.errors.machine import (
    PortInUse,
    SettingsInvalid,
    StartFailed,
    SystemAlreadyRunning,
    SystemNotRunning,
)
from orchestrator.errors.requests import (
    IdempotencyConflict,
    RequestInvalid,
)
from orchestrator.errors.store import (
    AttemptStale,
    NotFound,
    RecordMalformed,
    StoreRefused,
    StoreUnreachable,
    TransitionRefused,
)
from orchestrator.errors.tree import (
    OrchestratorError,
)

__all__ = [
    "AgentCrashed",
    "AgentEnded",
    "AgentFailed",
    "AgentGarbled",
    "AgentKilled",
    "AgentRestarting",
    "AgentStalled",
    "AgentTimedOut",
    "AttemptStale",
    "AuditBroken",
    "AuditBusy",
    "BackendUnavailable",
    "BackendUnknown",
    "BranchUnknown",
    "ChangeConflicts",
    "ChangeEmpty",
    "ChangeMissing",
    "ChangeRefused",
    "ChangeTooLarge",
    "CoordinatorRefused",
    "CoordinatorUnavailable",
    "CredentialsUnavailable",
    "DiskFull",
    "ForgeRefused",
    "ForgeUnavailable",
    "GatesRejected",
    "GitFailed",
    "GitTimedOut",
    "Halted",
    "HookFailed",
    "HooksInvalid",
    "IdempotencyConflict",
    "IncludeTooLarge",
    "KillUnconfirmed",
    "LeaseLost",
    "NotFound",
    "OrchestratorError",
    "OutputTooLong",
    "PlanInvalid",
    "PortInUse",
    "ProviderLimited",
    "PushFailed",
    "PushRefused",
    "RecordMalformed",
    "RepositoryEmpty",
    "RepositoryUnavailable",
    "RequestInvalid",
    "SettingsInvalid",
    "StartFailed",
    "StoreRefused",
    "StoreUnreachable",
    "SystemAlreadyRunning",
    "SystemNotRunning",
    "TargetMoves",
    "TransitionRefused",
    "WaitTimedOut",
    "WorkerStopping",
    "WorkspaceLost",
]
