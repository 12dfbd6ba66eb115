"""Kills over HTTP, and their receipts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint, body_of, caller_of, store_of
from orchestrator.api.http.schemas import KillAllBody, KillBody, MessageBody
from orchestrator.control.kill_switch import KillSwitch
from orchestrator.models import KeyScope, KillReport, KillScope, Receipt
from orchestrator.store import kills
from orchestrator.store.kills import KillOrder


def _switch_of(request: Request) -> KillSwitch:
    switch: KillSwitch = request.app.state.kill_switch
    return switch


def _order_of(request: Request, body: KillBody) -> KillOrder:
    return KillOrder(by=caller_of(request).name, why=body.reason, discard=body.discard)


async def kill(request: Request) -> JSONResponse:
    """Kill one agent; a repeated request returns the same result."""
    agent_id = request.path_params["agentId"]
    body = await body_of(request, KillBody)
    flow = _switch_of(request).kill(agent_id, _order_of(request, body), timeout_s=body.timeout)
    await store_of(request).follow(flow)
    return JSONResponse({"message": f"Agent {agent_id} killed successfully"})


async def kill_all(request: Request) -> JSONResponse:
    """Kill every active agent, or those of a scope; return the number of confirmed kills."""
    body = await body_of(request, KillAllBody)
    scope = KillScope(**{name: getattr(body, name) for name in KillScope.model_fields})
    flow = _switch_of(request).kill_all(scope, _order_of(request, body), timeout_s=body.timeout)
    report = await store_of(request).follow(flow)
    return JSONResponse(report.model_dump(mode="json", by_alias=True))


async def receipt(request: Request) -> JSONResponse:
    """Return the receipt of the kill of an agent."""
    found = await store_of(request).run(kills.read_receipt(request.path_params["agentId"]))
    return JSONResponse(found.shown())


ENDPOINTS = [
    Endpoint(
        *("POST", "/agents/kill-all", kill_all, "Kill every active agent, or those of a scope"),
        answers={200: (KillReport,)},
        scope=KeyScope.KILL,
        body=KillAllBody,
        refusals=(422,),
    ),
    Endpoint(
        *("POST", "/agents/{agentId}/kill", kill, "Kill an agent"),
        answers={200: (MessageBody,)},
        scope=KeyScope.KILL,
        body=KillBody,
        refusals=(404, 409, 422, 504),
    ),
    Endpoint(
        *("GET", "/agents/{agentId}/receipt", receipt, "The receipt of a kill"),
        answers={200: (Receipt,)},
        refusals=(404,),
    ),
]
