"""The trends of the last hour and the last day over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint, store_of
from orchestrator.models.trends import Trends
from orchestrator.queries.trends import trends


async def index(request: Request) -> JSONResponse:
    """Return what ended, was spent and waited, by minutes, and by hours and repositories."""
    found = await store_of(request).follow(trends())
    return JSONResponse(found.wire())


ENDPOINTS = [
    Endpoint(
        *("GET", "/trends", index, "The last hour by minutes, the last day by repository"),
        answers={200: (Trends,)},
    ),
]
