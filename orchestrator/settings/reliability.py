"""The settings of how long silence may last, and how long things are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, env


class ReliabilitySettings(BaseSettings):
    """Leases, checkpoints, stalls and retention."""

    lease_s: Duration = env(
        "ORCHESTRATOR_LEASE",
        description="How long a worker that is not heard of keeps its agents before they go on"
        " elsewhere.",
        default=30.0,
    )
    checkpoint_s: Duration = env(
        "ORCHESTRATOR_CHECKPOINT",
        description="How often a running agent's work is saved, beside the end of each turn.",
        default=120.0,
    )
    stall_s: Duration = env(
        "ORCHESTRATOR_STALL",
        description="Without output, tokens and processor time for so long, an agent is stuck.",
        default=900.0,
    )
    stall_policy: Literal["report", "restart", "fail"] = env(
        "ORCHESTRATOR_STALL_POLICY",
        description="What is done with an agent that is stuck: told, restarted from its last"
        " checkpoint, or ended.",
        default="report",
    )
    retention_s: Duration = env(
        "ORCHESTRATOR_RETENTION",
        description="How long an agent's state, log and kept work stay after its end.",
        default=timedelta(days=7).total_seconds(),
    )
