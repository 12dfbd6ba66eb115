"""The ASGI application: routes, guard and error documents around one store."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from orchestrator import wiring
from orchestrator.api import agents, budget, health, kills, logs
from orchestrator.api.guard import Guard
from orchestrator.api.problems import HANDLERS
from orchestrator.budget import publish
from orchestrator.errors import StoreUnreachable
from orchestrator.log import get_logger
from orchestrator.settings import Settings
from orchestrator.store.executors import AsyncStore

log = get_logger("api")


def create_app(settings: Settings, *, is_stopping: Callable[[], bool] = lambda: False) -> Starlette:
    """Build the application; `is_stopping` tells followers that the server wants to end."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.started_s = time.monotonic()
        app.state.is_stopping = is_stopping
        app.state.door = wiring.front_door(settings)
        app.state.budget = wiring.budget(settings)
        app.state.kill_switch = wiring.kill_switch(settings)
        app.state.store = AsyncStore(settings.valkey_url)
        try:
            await _publish(app.state.store, settings)
            yield
        finally:
            await app.state.store.close()

    return Starlette(
        routes=[*health.ROUTES, *kills.ROUTES, *agents.ROUTES, *logs.ROUTES, *budget.ROUTES],
        middleware=[Middleware(Guard, settings)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )


async def _publish(store: AsyncStore, settings: Settings) -> None:
    """Tell the fleet the limits; the workers do so too, so that this may fail."""
    try:
        await store.run(publish(settings))
    except StoreUnreachable as error:
        log.warning("limits not told", reason=str(error))
