"""The check of `orch doctor` that names the models without a price."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from orchestrator.errors import OrchestratorError, PriceUnknown
from orchestrator.interfaces.model_price import model_of
from orchestrator.settings import Settings
from orchestrator.settings.prices import price_table
from orchestrator.wiring import BACKENDS, default_choices


def see_prices(settings: Settings) -> str:
    """Return the files of the prices; raise if a model that agents get by default has none."""
    table = price_table(settings.prices)
    if unpriced := sorted({name for name in _models(settings) if table.of(name) is None}):
        msg = f"No price, and so no cost: {', '.join(unpriced)}."
        raise PriceUnknown(msg)
    return ", ".join(table.files)


def _models(settings: Settings) -> Iterator[str]:
    chosen = {(one.agent, one.model) for one in default_choices(settings).values()}
    for agent, model in {(settings.default_agent, None), *chosen}:
        # Another check reports a backend that cannot be built.
        with suppress(OrchestratorError, ImportError):
            if name := model_of(BACKENDS.build(agent, settings), model):
                yield name
