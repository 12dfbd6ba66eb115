"""The settings of the gates that check a change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.settings.values import Duration, SettingsGroup, env


class GateSettings(SettingsGroup):
    """Limits of the gates, and other approvals of a change."""

    gate_timeout_s: Duration = env(
        "ORCHESTRATOR_GATE_TIMEOUT",
        description="The time limit of a gate without `timeout`.",
        default=1800.0,
    )
    gate_workers: Annotated[int, Field(ge=1, le=64)] = env(
        "ORCHESTRATOR_GATE_WORKERS",
        description="The changes that this host checks at once, 1 to 64.",
        default=2,
    )
    plan_check: Literal["refuse", "warn", "off"] = env(
        "ORCHESTRATOR_PLAN_CHECK",
        description="If no change can pass the gates: `refuse` ends the agent with"
        " `plan_unrunnable` before it starts, `warn` only logs it, `off` does not look.",
        default="refuse",
    )
    red_base: Literal["refuse", "compare", "rework"] = env(
        "ORCHESTRATOR_RED_BASE",
        description="A gate that fails on the base commit too: `refuse` approves nothing, `compare`"
        " counts the failures that the change adds, `rework` charges all. See gates.md.",
        default="refuse",
    )
    base_check: Literal["on-failure", "before"] = env(
        "ORCHESTRATOR_BASE_CHECK",
        description="When gates run on the base commit: if a gate fails on a change (`on-failure`),"
        " or also `before` the first agent of a base starts.",
        default="on-failure",
    )
    reviewer: str = env(
        "ORCHESTRATOR_REVIEWER",
        description="The backend that runs the gate ai-review.",
        default="claude",
    )
    coordinator_url: str | None = env(
        "COORDINATOR_URL",
        description="The URL of the Coordinator, whose approval each change then needs too.",
        default=None,
    )
    yolo_mode: bool = env(
        "YOLO_MODE",
        description="`true`: skip all gates. State, events, log and audit record it.",
        default=False,
    )
