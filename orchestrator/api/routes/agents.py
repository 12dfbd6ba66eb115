"""Spawning agents, and reading their state, their gate reports, their changes and their tasks."""

from __future__ import annotations

from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

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
from orchestrator.models import AgentState, KeyScope, SpawnRequest, Status
from orchestrator.models.attention import Attention
from orchestrator.queries import agent_list
from orchestrator.queries.changes import read_patch
from orchestrator.queries.explanations import explain_agents, explain_one, urgent
from orchestrator.store import agents, changes
from orchestrator.store.registration import Submitted
from orchestrator.wiring import clock

PATCH = "text/x-diff"
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
    """Return a page of agents, newest first."""
    query = query_of(request, AgentsQuery)
    asked = dict(query)
    with_attention, is_urgent = asked.pop("attention"), asked.pop("urgent")
    store = store_of(request)
    if is_urgent:
        limit = asked.pop("limit")
        asked.pop("cursor")
        pairs = await store.follow(urgent(request.app.state.settings, clock(), **asked))
        pairs = pairs[:limit]
        return JSONResponse(
            {
                "agents": [agent.wire() for agent, _ in pairs],
                "attention": {agent.agent_id: need.wire() for agent, need in pairs},
            }
        )
    page = await store.follow(agent_list.page(**asked))
    document: dict[str, object] = {"agents": [agent.wire() for agent in page.agents]}
    if with_attention:
        flow = explain_agents(page.agents, request.app.state.settings, clock())
        needs = await store.follow(flow)
        document["attention"] = {name: one.wire() for name, one in needs.items()}
    if page.next_cursor:
        document["nextCursor"] = page.next_cursor
    return JSONResponse(document)


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


async def diff(request: Request) -> Response:
    """Return an agent's change as a patch."""
    agent_id, state = request.path_params["agentId"], request.app.state
    # Git blocks: it may have to fetch the base commit first.
    patch = await run_in_threadpool(read_patch, state.settings, state.blocking_store, agent_id)
    return Response(patch, media_type=PATCH)


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
        *("GET", "/agents/{agentId}/diff", diff, "The change of an agent as a patch"),
        answers={200: (PATCH,)},
        refusals=(404, 502),
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
