"""One inconsistency that the consistency check has found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Drift:
    """One inconsistency of the agent or path `subject`; `repair` fixes it, None if nothing can."""

    kind: str
    subject: str
    detail: str
    repair: Callable[[], object] | None = None
