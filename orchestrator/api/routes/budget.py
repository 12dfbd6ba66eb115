"""The budget of today over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator import wiring
from orchestrator.api.http.endpoint import Endpoint, body_of, caller_of, store_of
from orchestrator.api.http.limits_body import LimitsBody
from orchestrator.control.budget import BudgetService, parse_limit
from orchestrator.models import BudgetLimits, BudgetSummary, KeyScope
from orchestrator.queries import budget


async def summary(request: Request) -> JSONResponse:
    """Return today's usage and reservations, by agent, and the limits in force."""
    found = await store_of(request).follow(
        budget.summary(request.app.state.settings, wiring.clock())
    )
    return JSONResponse(found.model_dump(mode="json", by_alias=True))


async def change(request: Request) -> JSONResponse:
    """Change limits of the whole fleet; each change is an entry of the audit."""
    body = await body_of(request, LimitsBody)
    service: BudgetService = request.app.state.budget
    changes = body.changes()
    # All values before the first is set: a wrong one changes nothing.
    for name, value in changes.items():
        parse_limit(name, value)
    for name, value in changes.items():
        flow = service.set(name, value, by=caller_of(request).name, why=body.reason)
        in_force = await store_of(request).follow(flow)
    return JSONResponse(in_force.model_dump(mode="json", by_alias=True))


ENDPOINTS = [
    Endpoint(
        *("GET", "/budget", summary, "The usage of today, and the limits in force"),
        answers={200: (BudgetSummary,)},
    ),
    Endpoint(
        *("PATCH", "/budget", change, "Change limits of the fleet"),
        answers={200: (BudgetLimits,)},
        scope=KeyScope.OPERATE,
        body=LimitsBody,
        is_body_required=True,
        refusals=(422,),
    ),
]
