"""How today's budget stands."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.endpoints import Endpoint, store_of
from orchestrator.budget import Budget
from orchestrator.models import BudgetSummary


async def summary(request: Request) -> JSONResponse:
    """Answer with what is spent and reserved today, by whom, and the limits in force."""
    budget: Budget = request.app.state.budget
    found = await store_of(request).follow(budget.summary())
    return JSONResponse(found.model_dump(mode="json", by_alias=True))


ENDPOINTS = [
    Endpoint(
        *("GET", "/budget", summary, "What is spent today, and the limits in force"),
        answers={200: (BudgetSummary,)},
    )
]
