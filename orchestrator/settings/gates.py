"""The settings of the gates that check a change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from orchestrator.settings.values import Duration, env


class GateSettings(BaseSettings):
    """Limits of the gates, and who else approves a change."""

    gate_timeout_s: Duration = env(
        "ORCHESTRATOR_GATE_TIMEOUT",
        description="The time limit of a gate whose plan sets no `timeout`.",
        default=1800.0,
    )
    gate_workers: Annotated[int, Field(ge=1, le=64)] = env(
        "ORCHESTRATOR_GATE_WORKERS",
        description="The number of changes that the gates pool of this host checks at once, 1 to"
        " 64.",
        default=2,
    )
    plan_check: Literal["refuse", "warn", "off"] = env(
        "ORCHESTRATOR_PLAN_CHECK",
        description="Before an agent starts, a plan of gates that no change can pass (a missing"
        " command or tool) is refused with `plan_unrunnable`; `warn` only logs it, `off` does not"
        " look.",
        default="refuse",
    )
    red_base: Literal["refuse", "compare", "rework"] = env(
        "ORCHESTRATOR_RED_BASE",
        description="A gate that fails on a change runs on the untouched base commit too. If it"
        " fails there as well: `refuse` does not approve the change, and asks for no rework;"
        " `compare` counts the failures that the change adds; `rework` runs nothing on the base and"
        " charges all failures to the agent. `red_base` in `[gates]` of a repository takes"
        " precedence.",
        default="refuse",
    )
    base_check: Literal["on-failure", "before"] = env(
        "ORCHESTRATOR_BASE_CHECK",
        description="When gates run on the base commit. `on-failure`: only if a gate fails on a"
        " change. `before`: also before the first agent of a base starts, which waits for them; an"
        " agent whose base has a gate that cannot run is then refused with `plan_unrunnable`.",
        default="on-failure",
    )
    reviewer: str = env(
        "ORCHESTRATOR_REVIEWER",
        description="The backend that runs the gate ai-review.",
        default="claude",
    )
    coordinator_url: str | None = env(
        "COORDINATOR_URL",
        description="The base URL of the Coordinator. If it is set, each approval also needs the"
        " Coordinator's approval.",
        default=None,
    )
    yolo_mode: bool = env(
        "YOLO_MODE",
        description="`true`: skip all gates. The state, the events, the log and the audit record"
        " this.",
        default=False,
    )
