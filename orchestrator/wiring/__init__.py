"""The composition root: builds all services from the settings.

This module has the services that load fast, for any command. `host` and `worker` have the others.
A service is imported where it is built, because a command builds one of them at most.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.errors import SettingsInvalid
from orchestrator.models import AgentType, ModelChoice
from orchestrator.plugins import Family
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.audit.log import Audit
    from orchestrator.control.acknowledgements import Acknowledgements
    from orchestrator.control.api_keys import ApiKeys
    from orchestrator.control.budget import BudgetService
    from orchestrator.control.kill_switch import KillSwitch
    from orchestrator.control.logins import Logins
    from orchestrator.control.queues import QueuePauses
    from orchestrator.control.submit import SubmitService
    from orchestrator.interfaces.agent import AgentBackend
    from orchestrator.interfaces.model_offer import ModelOffer

BACKENDS: Family[AgentBackend] = Family("orchestrator.backends", "orchestrator.agents")


def clock() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a new random UUID as text."""
    return str(uuid.uuid4())


def with_secrets(settings: Settings) -> Settings:
    """Return settings with the secrets of the backends' options, which logs then mask.

    The module of a backend declares them by `secrets(settings)`. Without that function, every
    option of the backend counts as a secret.
    """
    declared: list[str] = []
    for name in settings.backends:
        state = BACKENDS.stated(name, "secrets") or partial(Settings.backend_secrets, name=name)
        declared += state(settings)
    return settings.model_copy(update={"declared_secrets": tuple(declared)})


def submit_service(settings: Settings) -> SubmitService:
    """Build the submit service.

    Raises:
        SettingsInvalid: a default model is not offered by its backend.
    """
    from orchestrator.control.submit import SubmitService  # noqa: PLC0415 - see the module
    from orchestrator.settings.prices import price_table  # noqa: PLC0415 - as above

    # A malformed file ends the start of each process, not the first spawn that names a model.
    prices = price_table(settings.prices)
    service = SubmitService(
        default_agent=settings.default_agent,
        agents=frozenset(BACKENDS.names()),
        clock=clock,
        new_id=new_id,
        defaults=default_choices(settings),
        offers=partial(model_offer, settings),
        has_price=lambda model: prices.of(model) is not None,
    )
    for path, fault in service.choices.faults_of_defaults():
        msg = f"ORCHESTRATOR_MODELS: {path}: {fault}."
        raise SettingsInvalid(msg)
    return service


def default_choices(settings: Settings) -> dict[AgentType, ModelChoice]:
    """Return the default backend, model and effort of each agentType that the settings name."""
    return {
        AgentType(name): ModelChoice(
            agent=given.agent or settings.default_agent, model=given.model, effort=given.effort
        )
        for name, given in settings.models.items()
    }


def model_offer(settings: Settings, agent: str) -> ModelOffer:
    """Return the models and efforts that a backend offers.

    Raises:
        BackendUnknown: there is no such backend.
        SettingsInvalid: an option of the backend is wrong.
    """
    from orchestrator.interfaces.model_offer import ModelOffer  # noqa: PLC0415 - see the module

    return ModelOffer.of(BACKENDS.build(agent, settings))


def audit(settings: Settings) -> Audit:
    """Build the audit."""
    from orchestrator.audit.log import Audit  # noqa: PLC0415 - see the module
    from orchestrator.signing import signing_key  # noqa: PLC0415 - as above

    return Audit(signing_key(settings, "audit"), clock, new_id)


def acknowledgements(settings: Settings) -> Acknowledgements:
    """Build the service that acknowledges that agents need attention."""
    from orchestrator.control.acknowledgements import (  # noqa: PLC0415 - see the module
        Acknowledgements,
    )

    return Acknowledgements(settings, audit(settings), clock)


def kill_switch(settings: Settings) -> KillSwitch:
    """Build the kill switch."""
    from orchestrator.control.kill_switch import KillSwitch  # noqa: PLC0415 - see the module

    return KillSwitch(audit(settings), clock, new_id)


def api_keys(settings: Settings) -> ApiKeys:
    """Build the check of API keys."""
    from orchestrator.control.api_keys import ApiKeys  # noqa: PLC0415 - see the module

    key = settings.api_key.get_secret_value().encode() if settings.api_key else None
    # An allowed host means a proxy, behind which every client has a loopback address.
    asks = bool(settings.allowed_hosts)
    return ApiKeys(audit(settings), clock, key, settings.spawn_rate, always_asks=asks)


def logins(settings: Settings) -> Logins:
    """Build the service of one-time logins."""
    from orchestrator.control.logins import Logins  # noqa: PLC0415 - see the module

    return Logins(api_keys(settings))


def queue_pauses(settings: Settings) -> QueuePauses:
    """Build the service that pauses and resumes queues."""
    from orchestrator.control.queues import QueuePauses  # noqa: PLC0415 - see the module

    return QueuePauses(audit(settings), clock)


def budget(settings: Settings) -> BudgetService:
    """Build the service that changes the budget."""
    from orchestrator.control.budget import BudgetService  # noqa: PLC0415 - see the module

    return BudgetService(settings, clock, audit(settings).append)
