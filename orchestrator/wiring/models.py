"""Lists what the agent backends of this host offer."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError
from orchestrator.interfaces.agent import HasModelDefaults
from orchestrator.interfaces.model_offer import ModelOffer
from orchestrator.models.offered import DefaultModel, OfferedModels
from orchestrator.settings import Settings
from orchestrator.wiring import BACKENDS, default_choices


def offered_models(settings: Settings) -> tuple[OfferedModels, ...]:
    """Return what each backend offers; one that cannot be built or started says why."""
    return tuple(_offered(settings, name) for name in BACKENDS.names())


def _offered(settings: Settings, name: str) -> OfferedModels:
    defaults = {
        agent_type: DefaultModel(model=one.model, effort=one.effort)
        for agent_type, one in default_choices(settings).items()
        if one.agent == name
    }
    known = OfferedModels(
        agent=name, is_default=name == settings.default_agent, default_for=defaults
    )
    try:
        backend = BACKENDS.build(name, settings)
    except (OrchestratorError, ImportError) as error:
        return known.model_copy(update={"fault": str(error)})
    offer = ModelOffer.of(backend)
    facts: dict[str, object] = {"models": offer.models, "efforts": offer.efforts}
    if isinstance(backend, HasModelDefaults):
        facts |= {
            "model": backend.default_model,
            "effort": backend.default_effort,
            "has_key": backend.has_key,
        }
    try:
        backend.check()
    except OrchestratorError as error:
        facts["fault"] = str(error)
    return known.model_copy(update=facts)
