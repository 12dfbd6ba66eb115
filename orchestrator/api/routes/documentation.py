"""The documentation of the API: its OpenAPI document, its page, and the static files of pages."""

from __future__ import annotations

from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.api.http.endpoint import Endpoint, caller_of
from orchestrator.api.http.openapi import document
from orchestrator.api.http.static_files import page, parts
from orchestrator.control.submit import SubmitService
from orchestrator.models.event_schemas import event_schema
from orchestrator.repo_config import shipped_schema


async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    asks_for_keys = caller_of(request).has_key
    state = request.app.state
    service: SubmitService = state.submit_service
    # A backend may look for its program on disk.
    offers = await run_in_threadpool(service.offered)
    described = document(
        state.endpoints,
        asks_for_keys=asks_for_keys,
        offers=offers,
        default_agent=service.default_agent,
    )
    return JSONResponse(described)


async def docs(request: Request) -> Response:
    """Return the page that renders the OpenAPI document."""
    del request
    return page("docs.html")


async def static(request: Request) -> Response:
    """Return a static file of a page."""
    name = request.path_params["name"]
    if name not in parts():
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
    return page(name)


async def repository_schema(request: Request) -> Response:
    """Return the JSON schema of a repository's configuration."""
    del request
    return Response(shipped_schema(), media_type="application/schema+json")


async def event_schemas(request: Request) -> JSONResponse:
    """Return the JSON schema of each type of event."""
    del request
    return JSONResponse(event_schema(), media_type="application/schema+json")


ENDPOINTS = [
    Endpoint(
        *("GET", "/openapi.json", openapi, "This document"),
        answers={200: ("application/json",)},
    ),
    Endpoint(
        *("GET", "/docs", docs, "This document as a page"),
        answers={200: ("text/html",)},
        scope=None,
    ),
    Endpoint(
        *("GET", "/schemas/repository.json", repository_schema),
        "The JSON schema of orchestrator.toml",
        answers={200: ("application/schema+json",)},
        # It is the same for every client, and an editor that uses it has no key.
        scope=None,
    ),
    Endpoint(
        *("GET", "/schemas/events.json", event_schemas),
        "The JSON schema of each type of event",
        answers={200: ("application/schema+json",)},
        scope=None,
    ),
    Endpoint(
        *("GET", "/static/{name}", static, "A file of a page"),
        answers={200: ("text/javascript", "text/css", "image/svg+xml")},
        # They contain no data, and the pages ask their user for a key.
        scope=None,
        refusals=(404,),
    ),
]
