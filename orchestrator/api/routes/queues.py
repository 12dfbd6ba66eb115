"""The queues over HTTP: their numbers, pause and resume."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint, body_of, caller_of, store_of
from orchestrator.api.http.schemas import Because, QueueList, QueueSwitched
from orchestrator.control.queues import QueuePauses
from orchestrator.models import KeyScope
from orchestrator.queries.queues import overview
from orchestrator.wiring import clock


def _switch_of(request: Request) -> QueuePauses:
    switch: QueuePauses = request.app.state.queue_pauses
    return switch


async def index(request: Request) -> JSONResponse:
    """Return the state of every queue."""
    states = await store_of(request).follow(overview(clock()))
    return JSONResponse({"queues": [state.wire() for state in states]})


async def pause(request: Request) -> JSONResponse:
    """Pause a queue: no worker consumes it; a repeated request changes nothing."""
    name = request.path_params["name"]
    because = await body_of(request, Because)
    flow = _switch_of(request).pause(name, caller_of(request).name, because.reason)
    await store_of(request).follow(flow)
    return JSONResponse({"name": name, "isPaused": True})


async def resume(request: Request) -> JSONResponse:
    """Resume a queue; a repeated request changes nothing."""
    name = request.path_params["name"]
    because = await body_of(request, Because)
    flow = _switch_of(request).resume(name, caller_of(request).name, because.reason)
    await store_of(request).follow(flow)
    return JSONResponse({"name": name, "isPaused": False})


ENDPOINTS = [
    Endpoint(
        *("GET", "/queues", index, "The state of every queue"),
        answers={200: (QueueList,)},
    ),
    Endpoint(
        *("POST", "/queues/{name}/pause", pause, "Pause a queue; active work finishes"),
        answers={200: (QueueSwitched,)},
        scope=KeyScope.KILL,
        body=Because,
        refusals=(404, 422),
    ),
    Endpoint(
        *("POST", "/queues/{name}/resume", resume, "Resume a queue"),
        answers={200: (QueueSwitched,)},
        scope=KeyScope.KILL,
        body=Because,
        refusals=(404, 422),
    ),
]
