"""Spawning agents and reading their state, their gate reports and their tasks."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from orchestrator.errors import RequestInvalid
from orchestrator.lifecycle import agents, listing
from orchestrator.models import AgentState, AgentType, Record, Status, faults_of
from orchestrator.names import Identifier
from orchestrator.store import changes
from orchestrator.store.executors import AsyncStore

BODY_LIMIT_BYTES = 2**20


class AgentsQuery(Record):
    """What `GET /agents` may be asked."""

    status: Status | None = None
    agent_type: AgentType | None = None
    task_id: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=listing.MAX_LIMIT)] = 50
    cursor: str = ""


def store_of(request: Request) -> AsyncStore:
    """Return the store this application opened."""
    store: AsyncStore = request.app.state.store
    return store


async def find_agent(request: Request) -> AgentState:
    """Read the agent the path names.

    Raises:
        NotFound: there is none.
    """
    return await store_of(request).run(agents.read(request.path_params["agent_id"]))


async def spawn(request: Request) -> JSONResponse:
    """Register an agent and enqueue it."""
    operation = request.app.state.door.submit(
        await _document(request), idempotency_key=request.headers.get("idempotency-key", "")
    )
    agent_id = (await store_of(request).run(operation)).agent_id
    return JSONResponse(
        {"agentId": agent_id, "status": Status.SPAWNING},
        HTTPStatus.CREATED,
        {"Location": f"/agents/{agent_id}/status"},
    )


async def status(request: Request) -> JSONResponse:
    """Answer with an agent's state."""
    return JSONResponse((await find_agent(request)).wire())


async def index(request: Request) -> JSONResponse:
    """Answer with a page of agents, newest first."""
    try:
        query = AgentsQuery.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestInvalid(faults_of(error)) from error
    page = await store_of(request).follow(listing.page(**dict(query)))
    document: dict[str, Any] = {"agents": [agent.wire() for agent in page.agents]}
    if page.next_cursor:
        document["nextCursor"] = page.next_cursor
    return JSONResponse(document)


async def gates(request: Request) -> JSONResponse:
    """Answer with an agent's gate reports, oldest first."""
    agent = await find_agent(request)
    reports = await store_of(request).run(changes.read_reports(agent.agent_id))
    return JSONResponse({"reports": [report.wire() for report in reports]})


async def task(request: Request) -> JSONResponse:
    """Answer with a task and the agents that served it, newest first."""
    task_id, store = request.path_params["task_id"], store_of(request)
    state = await store.run(agents.read_task(task_id))
    page = await store.follow(listing.page(task_id=task_id, limit=listing.MAX_LIMIT))
    return JSONResponse({**state.wire(), "agents": [agent.wire() for agent in page.agents]})


async def _document(request: Request) -> object:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body is larger than {BODY_LIMIT_BYTES} bytes.",
            )
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestInvalid((("body", f"is not JSON ({error})"),)) from error


ROUTES = [
    Route("/agents/spawn", spawn, methods=["POST"]),
    Route("/agents", index),
    Route("/agents/{agent_id}/status", status),
    Route("/agents/{agent_id}/gates", gates),
    # A task's id is the client's choice and may hold slashes.
    Route("/tasks/{task_id:path}", task),
]
