"""The settings of leases, checkpoints, stall detection and retention."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from orchestrator.settings.values import Duration, SettingsGroup, env


class ReliabilitySettings(SettingsGroup):
    """Leases, checkpoints, stall detection and retention."""

    lease_s: Duration = env(
        "ORCHESTRATOR_LEASE",
        description="How long a worker keeps its agents after its last heartbeat. After that,"
        " other workers continue them.",
        default=30.0,
    )
    clock_skew_limit_s: Duration = env(
        "ORCHESTRATOR_CLOCK_SKEW_LIMIT",
        description="How far the clock of a worker's host may differ from that of Valkey. Above"
        " that, a worker does not start.",
        default=60.0,
    )
    checkpoint_s: Duration = env(
        "ORCHESTRATOR_CHECKPOINT",
        description="How often the system saves the work of a running agent, in addition to the"
        " end of each turn.",
        default=120.0,
    )
    stall_s: Duration = env(
        "ORCHESTRATOR_STALL",
        description="How long an agent may go without output, tokens and processor time before it"
        " counts as stalled.",
        default=900.0,
    )
    stall_policy: Literal["report", "restart", "fail"] = env(
        "ORCHESTRATOR_STALL_POLICY",
        description="What to do with a stalled agent: report it, restart it from its last"
        " checkpoint, or fail it.",
        default="report",
    )
    retention_s: Duration = env(
        "ORCHESTRATOR_RETENTION",
        description="How long the system keeps an agent's state, log and retained changes after"
        " its end.",
        default=timedelta(days=7).total_seconds(),
    )
