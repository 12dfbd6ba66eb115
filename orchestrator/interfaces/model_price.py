"""The prices of the models of one agent's program."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.interfaces.agent import AgentBackend, HasModelDefaults
from orchestrator.settings import Settings
from orchestrator.settings.prices import Price, price_table


def model_of(backend: AgentBackend, named: str | None) -> str:
    """Return the model that a backend's program is given; empty if its own default applies."""
    default = backend.default_model if isinstance(backend, HasModelDefaults) else None
    return named or default or ""


def prices_of(
    settings: Settings, backend: AgentBackend, named: str | None = None
) -> Callable[[str], Price | None]:
    """Return the price of a model by its name; an empty name is the model that it is given.

    Raises:
        SettingsInvalid: the file of the prices is malformed.
    """
    table, given = price_table(settings.prices), model_of(backend, named)
    return lambda model: table.of(model or given)
