"""Acknowledging over HTTP that an agent needs attention, and withdrawing that."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint, body_of, caller_of, store_of
from orchestrator.api.http.schemas import AcknowledgeBody, Acknowledged
from orchestrator.api.routes.agents import find_agent
from orchestrator.control.acknowledgements import Acknowledgements
from orchestrator.models import KeyScope


async def acknowledge(request: Request) -> JSONResponse:
    """Acknowledge the present reason of an agent; a repeated request renews it."""
    service: Acknowledgements = request.app.state.acknowledgements
    body = await body_of(request, AcknowledgeBody)
    agent = await find_agent(request)
    by, store = caller_of(request).name, store_of(request)
    if body.withdraw:
        await store.follow(service.withdraw(agent.agent_id, by=by, why=body.reason))
        return JSONResponse(Acknowledged(agent_id=agent.agent_id, acknowledged=False).wire())
    flow = service.acknowledge(agent.agent_id, by=by, why=body.reason, for_s=body.for_s)
    made = await store.follow(flow)
    answer = Acknowledged(agent_id=agent.agent_id, acknowledged=True, until=made.until)
    return JSONResponse(answer.wire())


ENDPOINTS = [
    Endpoint(
        *("POST", "/agents/{agentId}/acknowledge", acknowledge, "Acknowledge an agent's reason"),
        answers={200: (Acknowledged,)},
        scope=KeyScope.OPERATE,
        body=AcknowledgeBody,
        refusals=(404, 409, 422),
    ),
]
