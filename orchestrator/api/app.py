"""The ASGI application: routes, guard and error documents with one store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from orchestrator import wiring
from orchestrator.api.http.auth import Guard
from orchestrator.api.http.event_feed import Feed
from orchestrator.api.http.problems import HANDLERS
from orchestrator.api.http.sse import Followers
from orchestrator.api.routes import (
    acknowledgements,
    agents,
    budget,
    changes,
    dashboard,
    documentation,
    events,
    health,
    kills,
    logins,
    logs,
    metrics,
    models,
    operate,
    queues,
    trends,
)
from orchestrator.errors import StoreUnreachable
from orchestrator.log import get_logger
from orchestrator.settings import Settings
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.budget import publish
from orchestrator.store.client import Store

#: All routes; a fixed path comes before a path with a parameter at the same position.
ENDPOINTS = (
    *health.ENDPOINTS,
    *logins.ENDPOINTS,
    *kills.ENDPOINTS,
    *events.ENDPOINTS,
    *agents.ENDPOINTS,
    *changes.ENDPOINTS,
    *acknowledgements.ENDPOINTS,
    *logs.ENDPOINTS,
    *queues.ENDPOINTS,
    *budget.ENDPOINTS,
    *operate.ENDPOINTS,
    *models.ENDPOINTS,
    *metrics.ENDPOINTS,
    *trends.ENDPOINTS,
    *documentation.ENDPOINTS,
    *dashboard.ENDPOINTS,
)

#: Each of them may hold the whole patch of a change in memory.
_MOST_GIT_READERS = 4

log = get_logger("api")


def create_app(settings: Settings, *, is_stopping: Callable[[], bool] = lambda: False) -> Starlette:
    """Build the application; `is_stopping` returns True when the server shuts down."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        state = app.state
        state.started_s = time.monotonic()
        state.is_stopping = is_stopping
        state.settings = settings
        state.endpoints = ENDPOINTS
        state.submit_service = wiring.submit_service(settings)
        state.kill_switch = wiring.kill_switch(settings)
        state.queue_pauses = wiring.queue_pauses(settings)
        state.budget = wiring.budget(settings)
        state.acknowledgements = wiring.acknowledgements(settings)
        state.api_keys = wiring.api_keys(settings)
        state.logins = wiring.logins(settings)
        state.store = AsyncStore(settings.valkey_url)
        state.blocking_store = Store(settings.valkey_url)
        state.followers = Followers()
        state.git_readers = asyncio.Semaphore(_MOST_GIT_READERS)
        state.feed = Feed(state.store, is_stopping=is_stopping)
        try:
            await _publish(state.store, settings)
            async with state.feed.reading():
                yield
        finally:
            state.blocking_store.close()
            await state.store.close()

    return Starlette(
        routes=[endpoint.route() for endpoint in ENDPOINTS],
        middleware=[Middleware(Guard, settings)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )


async def _publish(store: AsyncStore, settings: Settings) -> None:
    """Publish the limits of the settings; a failure is only logged: workers publish them too."""
    try:
        await store.run(publish(settings))
    except StoreUnreachable as error:
        log.warning("limits not published", reason=str(error))
