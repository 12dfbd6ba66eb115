"""Halt, resume, the audit and fsck over HTTP."""

from __future__ import annotations

from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint, body_of, caller_of, query_of, store_of
from orchestrator.api.http.schemas import (
    AuditPage,
    AuditQuery,
    Because,
    DriftList,
    HaltSwitched,
    ResumeBody,
)
from orchestrator.audit.log import read_entries
from orchestrator.control.kill_switch import KillSwitch
from orchestrator.errors import NotFound
from orchestrator.models import KeyScope
from orchestrator.queries.agent_list import full_id
from orchestrator.settings import Settings
from orchestrator.store.client import Store


def _switch_of(request: Request) -> KillSwitch:
    switch: KillSwitch = request.app.state.kill_switch
    return switch


async def halt(request: Request) -> JSONResponse:
    """Stop the admission and the start of agents; running agents continue."""
    body = await body_of(request, Because)
    flow = _switch_of(request).halt(caller_of(request).name, body.reason)
    is_on_disk = await store_of(request).follow(flow)
    return JSONResponse({"halted": True, "onDisk": is_on_disk})


async def resume(request: Request) -> JSONResponse:
    """Lift a halt."""
    body = await body_of(request, ResumeBody)
    flow = _switch_of(request).resume(caller_of(request).name, body.reason)
    count = await store_of(request).follow(flow)
    return JSONResponse({"halted": False, "waiting": count})


async def audit(request: Request) -> JSONResponse:
    """Return the newest entries of the audit, or those before one; oldest first."""
    query = query_of(request, AuditQuery)
    agent_id = query.agent_id or ""
    # The audit outlives the record of an agent: then only its whole id is matched.
    with suppress(NotFound):
        agent_id = agent_id and await store_of(request).follow(full_id(agent_id))
    flow = read_entries(limit=query.limit + 1, agent_id=agent_id, before_seq=query.before or 0)
    found = await store_of(request).follow(flow)
    page = found[-query.limit :]
    document: dict[str, object] = {"entries": [entry.wire() for entry in page]}
    if len(found) > query.limit:
        document["nextBefore"] = page[0].seq
    return JSONResponse(document)


async def fsck(request: Request) -> JSONResponse:
    """Return the inconsistencies of the records, and of the host of this process."""
    state = request.app.state
    drifts = await run_in_threadpool(_drifts, state.settings, state.blocking_store)
    return JSONResponse({"drifts": drifts, "left": len(drifts)})


def _drifts(settings: Settings, store: Store) -> list[dict[str, str]]:
    from orchestrator.wiring.host import consistency_check  # noqa: PLC0415 - git: slow to load

    found = consistency_check(settings, store).check()
    return [{"kind": one.kind, "subject": one.subject, "detail": one.detail} for one in found]


ENDPOINTS = [
    Endpoint(
        *("POST", "/halt", halt, "Admit and start no new agents"),
        answers={200: (HaltSwitched,)},
        scope=KeyScope.OPERATE,
        body=Because,
        refusals=(422,),
    ),
    Endpoint(
        *("POST", "/resume", resume, "Lift a halt"),
        answers={200: (HaltSwitched,)},
        scope=KeyScope.OPERATE,
        body=ResumeBody,
        is_body_required=True,
        refusals=(422,),
    ),
    Endpoint(
        *("GET", "/audit", audit, "Entries of the audit, the newest page first"),
        answers={200: (AuditPage,)},
        scope=KeyScope.AUDIT,
        query=AuditQuery,
        refusals=(409, 422),
    ),
    Endpoint(
        *("GET", "/fsck", fsck, "Inconsistencies of records, queues, processes and folders"),
        answers={200: (DriftList,)},
        scope=KeyScope.AUDIT,
    ),
]
