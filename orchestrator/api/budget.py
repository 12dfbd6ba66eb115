"""How today's budget stands."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from orchestrator.api.agents import store_of
from orchestrator.budget import Budget


async def summary(request: Request) -> JSONResponse:
    """Answer with what is spent and reserved today, by whom, and the limits in force."""
    budget: Budget = request.app.state.budget
    found = await store_of(request).follow(budget.summary())
    return JSONResponse(found.model_dump(mode="json", by_alias=True))


ROUTES = [Route("/budget", summary)]
