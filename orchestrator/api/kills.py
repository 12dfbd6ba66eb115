"""Killing over HTTP, in the words of the contract; and the receipts."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from orchestrator.api.agents import store_of
from orchestrator.killswitch import KillSwitch
from orchestrator.lifecycle import kills
from orchestrator.lifecycle.kills import KillOrder
from orchestrator.models import KillScope


def _switch_of(request: Request) -> KillSwitch:
    switch: KillSwitch = request.app.state.kill_switch
    return switch


def _order_of(request: Request) -> KillOrder:
    client = request.client
    return KillOrder(by=f"HTTP {client.host if client else 'client'}", why="")


async def kill(request: Request) -> JSONResponse:
    """Kill one agent; again is no fault, and answers the same."""
    agent_id = request.path_params["agent_id"]
    await store_of(request).follow(_switch_of(request).kill(agent_id, _order_of(request)))
    return JSONResponse({"message": f"Agent {agent_id} killed successfully"})


async def kill_all(request: Request) -> JSONResponse:
    """Kill every active agent; counts what is confirmed."""
    flow = _switch_of(request).kill_all(KillScope(), _order_of(request))
    report = await store_of(request).follow(flow)
    return JSONResponse(report.model_dump(mode="json", by_alias=True))


async def receipt(request: Request) -> JSONResponse:
    """Answer with what the kill of an agent did."""
    found = await store_of(request).run(kills.find_receipt(request.path_params["agent_id"]))
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "This agent was not killed.")
    return JSONResponse(
        found.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"clock_ms"})
    )


ROUTES = [
    Route("/agents/kill-all", kill_all, methods=["POST"]),
    Route("/agents/{agent_id}/kill", kill, methods=["POST"]),
    Route("/agents/{agent_id}/receipt", receipt),
]
