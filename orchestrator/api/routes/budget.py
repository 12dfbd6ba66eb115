"""The budget of today over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator import wiring
from orchestrator.api.http.endpoint import Endpoint, store_of
from orchestrator.models import BudgetSummary
from orchestrator.queries import budget


async def summary(request: Request) -> JSONResponse:
    """Return today's usage and reservations, by agent, and the limits in force."""
    found = await store_of(request).follow(
        budget.summary(request.app.state.settings, wiring.clock())
    )
    return JSONResponse(found.model_dump(mode="json", by_alias=True))


ENDPOINTS = [
    Endpoint(
        *("GET", "/budget", summary, "The usage of today, and the limits in force"),
        answers={200: (BudgetSummary,)},
    )
]
