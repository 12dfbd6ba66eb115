"""What the agent backends offer, over HTTP."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint
from orchestrator.api.http.schemas import ModelList
from orchestrator.wiring.models import offered_models


async def index(request: Request) -> JSONResponse:
    """Return each backend with its models, efforts and defaults, as the API's host sees it."""
    # A backend may look for its program on disk.
    found = await run_in_threadpool(offered_models, request.app.state.settings)
    listed = ModelList(backends=found)
    return JSONResponse(listed.model_dump(mode="json", by_alias=True, exclude_none=True))


ENDPOINTS = [
    Endpoint(
        *("GET", "/models", index, "The backends, their models, efforts and defaults"),
        answers={200: (ModelList,)},
    ),
]
