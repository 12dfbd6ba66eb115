"""The settings of who judges a change."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, env


class GateSettings(BaseSettings):
    """How long gates may take, how many run, and who is asked beside them."""

    gate_timeout_s: Duration = env(
        "ORCHESTRATOR_GATE_TIMEOUT",
        description="The time of one gate whose plan names no `timeout`.",
        default=1800.0,
    )
    gate_workers: Annotated[int, Field(ge=1, le=64)] = env(
        "ORCHESTRATOR_GATE_WORKERS",
        description="Changes this host's gates pool judges at once, 1 to 64.",
        default=2,
    )
    reviewer: str = env(
        "ORCHESTRATOR_REVIEWER", description="The backend of the gate ai-review.", default="claude"
    )
    coordinator_url: str | None = env(
        "COORDINATOR_URL",
        description="The Coordinator that is asked about each approval; it can only reject.",
        default=None,
    )
    yolo_mode: bool = env(
        "YOLO_MODE",
        description="`true` skips all gates; state, events, log and audit say so.",
        default=False,
    )
