"""Spawning agents, and reading their state, their gate reports, their changes and their tasks."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import (
    Endpoint,
    Header,
    body_of,
    caller_of,
    document_of,
    query_of,
    store_of,
)
from orchestrator.api.http.schemas import (
    AgentList,
    AgentsQuery,
    ReportList,
    RetryBody,
    Spawned,
    TaskDocument,
)
from orchestrator.errors import CursorUnknown
from orchestrator.models import AgentState, KeyScope, SpawnRequest, Status
from orchestrator.models.attention import Attention
from orchestrator.queries import agent_list
from orchestrator.queries.explanations import explain_agents, explain_one, urgent
from orchestrator.settings import Settings
from orchestrator.store import agents, changes, kills
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.registration import Submitted
from orchestrator.wiring import clock

_IDEMPOTENCY = {
    "Idempotency-Key": Header(
        "From one caller the same key and body answer with the same agent; another body with 409.",
        r"^[!-~]+$",
    )
}


async def find_agent(request: Request) -> AgentState:
    """Return the agent that the path names.

    Raises:
        NotFound: there is no such agent.
    """
    return await store_of(request).run(agents.read(request.path_params["agentId"]))


def _spawned(submitted: Submitted) -> JSONResponse:
    agent_id = submitted.agent_id
    return JSONResponse(
        {"agentId": agent_id, "status": Status.SPAWNING},
        HTTPStatus.CREATED,
        {"Location": f"/agents/{agent_id}/status"},
    )


async def spawn(request: Request) -> JSONResponse:
    """Register an agent and enqueue it."""
    operation = request.app.state.submit_service.submit(
        await document_of(request),
        idempotency_key=request.headers.get("idempotency-key", ""),
        by=caller_of(request).name,
    )
    return _spawned(await store_of(request).run(operation))


async def retry(request: Request) -> JSONResponse:
    """Spawn the request of an ended agent again, continuing from its retained change if any."""
    agent_id, store, state = request.path_params["agentId"], store_of(request), request.app.state
    body = await body_of(request, RetryBody)
    flow = state.submit_service.retry(
        agent_id,
        is_afresh=body.afresh,
        retain_s=state.settings.retention_s,
        by=caller_of(request).name,
        why=body.reason,
        may_edit=body.may_edit,
    )
    return _spawned(await store.follow(flow))


async def status(request: Request) -> JSONResponse:
    """Return an agent's state."""
    return JSONResponse((await find_agent(request)).wire())


async def index(request: Request) -> JSONResponse:
    """Return a page of agents, newest first, or the most urgent first."""
    query = query_of(request, AgentsQuery)
    names = {"attention", "urgent", "receipts"}
    asked = {name: value for name, value in dict(query).items() if name not in names}
    store, settings = store_of(request), request.app.state.settings
    document: dict[str, object]
    if query.urgent:
        listed, needs, next_cursor = await _urgent_page(store, settings, asked)
        document = {"agents": [agent.wire() for agent in listed], "attention": needs}
    else:
        page = await store.follow(agent_list.page(**asked))
        listed, next_cursor = page.agents, page.next_cursor
        document = {"agents": [agent.wire() for agent in listed]}
        if query.attention:
            found = await store.follow(explain_agents(listed, settings, clock()))
            document["attention"] = {name: one.wire() for name, one in found.items()}
    if query.receipts:
        receipts = await store.follow(kills.receipts_of(listed))
        document["receipts"] = {name: one.shown() for name, one in receipts.items()}
    if next_cursor:
        document["nextCursor"] = next_cursor
    return JSONResponse(document)


async def _urgent_page(
    store: AsyncStore, settings: Settings, asked: dict[str, Any]
) -> tuple[tuple[AgentState, ...], dict[str, object], str | None]:
    limit, cursor = asked.pop("limit"), asked.pop("cursor")
    pairs = await store.follow(urgent(settings, clock(), **asked))
    if cursor:
        # By its place in the order of now: what became urgent meanwhile may be listed twice.
        at = next((at for at, pair in enumerate(pairs) if pair[0].agent_id == cursor), None)
        if at is None:
            raise CursorUnknown
        pairs = pairs[at + 1 :]
    page = pairs[:limit]
    needs: dict[str, object] = {agent.agent_id: need.wire() for agent, need in page}
    next_cursor = page[-1][0].agent_id if len(pairs) > limit else None
    return tuple(agent for agent, _ in page), needs, next_cursor


async def why(request: Request) -> JSONResponse:
    """Return why an agent waits, failed or was rejected, and one command that helps."""
    agent_id, settings = request.path_params["agentId"], request.app.state.settings
    found = await store_of(request).follow(explain_one(agent_id, settings, clock()))
    return JSONResponse(found.wire())


async def asked_for(request: Request) -> JSONResponse:
    """Return the request that an agent came from."""
    agent_id = request.path_params["agentId"]
    found = await store_of(request).run(agents.read_request(agent_id))
    return JSONResponse(found.wire())


async def gates(request: Request) -> JSONResponse:
    """Return an agent's gate reports, oldest first."""
    agent = await find_agent(request)
    reports = await store_of(request).run(changes.read_reports(agent.agent_id))
    return JSONResponse({"reports": [report.wire() for report in reports]})


async def task(request: Request) -> JSONResponse:
    """Return a task and the agents that served it, newest first."""
    task_id, store = request.path_params["taskId"], store_of(request)
    state = await store.run(agents.read_task(task_id))
    page = await store.follow(agent_list.page(task_id=task_id, limit=agent_list.MAX_LIMIT))
    return JSONResponse({**state.wire(), "agents": [agent.wire() for agent in page.agents]})


ENDPOINTS = [
    Endpoint(
        *("POST", "/agents/spawn", spawn, "Spawn an agent"),
        answers={201: (Spawned,)},
        scope=KeyScope.SPAWN,
        body=SpawnRequest,
        is_body_required=True,
        headers=_IDEMPOTENCY,
        refusals=(409, 422),
        is_spawn=True,
    ),
    Endpoint(
        *("GET", "/agents", index, "List agents, newest first"),
        answers={200: (AgentList,)},
        query=AgentsQuery,
        refusals=(404, 422),
    ),
    Endpoint(
        *("GET", "/agents/{agentId}/status", status, "An agent's state"),
        answers={200: (AgentState,)},
        refusals=(404,),
    ),
    Endpoint(
        *("GET", "/agents/{agentId}/request", asked_for, "The request that an agent came from"),
        answers={200: (SpawnRequest,)},
        refusals=(404,),
    ),
    Endpoint(
        *("GET", "/agents/{agentId}/why", why, "The reason of a wait or failure, and a command"),
        answers={200: (Attention,)},
        refusals=(404,),
    ),
    Endpoint(
        *("GET", "/agents/{agentId}/gates", gates, "An agent's gate reports"),
        answers={200: (ReportList,)},
        refusals=(404,),
    ),
    Endpoint(
        *("POST", "/agents/{agentId}/retry", retry, "Spawn an ended agent again"),
        answers={201: (Spawned,)},
        scope=KeyScope.SPAWN,
        body=RetryBody,
        refusals=(404, 409, 422),
        is_spawn=True,
    ),
    Endpoint(
        # The client chooses a task's id, which may contain slashes.
        *("GET", "/tasks/{taskId:path}", task, "A task and its agents"),
        answers={200: (TaskDocument,)},
        refusals=(404,),
    ),
]
