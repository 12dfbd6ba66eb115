"""The composition root: settings become services, and nothing is built anywhere else.

Here stands what any command needs, which must load at once: the rest is in `host` and `worker`.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.audit.log import Audit
from orchestrator.control.api_keys import ApiKeys
from orchestrator.control.budget import BudgetService
from orchestrator.control.kill_switch import KillSwitch
from orchestrator.control.queues import QueuePauses
from orchestrator.interfaces.agent import AgentBackend
from orchestrator.plugins import Family
from orchestrator.settings import Settings
from orchestrator.signing import signing_key

if TYPE_CHECKING:
    from orchestrator.control.submit import SubmitService

BACKENDS: Family[AgentBackend] = Family("orchestrator.backends", "orchestrator.agents")


def clock() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


def new_id() -> str:
    """Make a new id."""
    return str(uuid.uuid4())


def with_secrets(settings: Settings) -> Settings:
    """Add to the settings what the backends state to be secret in their options.

    A backend's module does so by `secrets(settings)`; of one that does not, every option counts.
    """
    declared: list[str] = []
    for name in settings.backends:
        state = BACKENDS.stated(name, "secrets") or partial(Settings.backend_secrets, name=name)
        declared += state(settings)
    return settings.model_copy(update={"declared_secrets": tuple(declared)})


def submit_service(settings: Settings) -> SubmitService:
    """Build what submits requests."""
    from orchestrator.control.submit import SubmitService  # noqa: PLC0415 - loads the gates' names

    return SubmitService(
        default_agent=settings.default_agent,
        agents=frozenset(BACKENDS.names()),
        clock=clock,
        new_id=new_id,
    )


def audit(settings: Settings) -> Audit:
    """Build what keeps the audit."""
    return Audit(signing_key(settings, "audit"), clock, new_id)


def kill_switch(settings: Settings) -> KillSwitch:
    """Build what kills, halts and resumes."""
    return KillSwitch(audit(settings), clock, new_id)


def api_keys(settings: Settings) -> ApiKeys:
    """Build what knows who may ask."""
    key = settings.api_key.get_secret_value().encode() if settings.api_key else None
    # Another name than loopback's is a proxy's, behind which everyone is local.
    asks = bool(settings.allowed_hosts)
    return ApiKeys(audit(settings), clock, key, settings.spawn_rate, always_asks=asks)


def queue_pauses(settings: Settings) -> QueuePauses:
    """Build what pauses and resumes queues."""
    return QueuePauses(audit(settings), clock)


def budget(settings: Settings) -> BudgetService:
    """Build what reads and changes the budget."""
    return BudgetService(settings, clock, audit(settings).append)
