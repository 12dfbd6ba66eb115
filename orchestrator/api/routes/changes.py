"""The changes of agents over HTTP: as patches to read, and as files to import."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from orchestrator.api.http.endpoint import Endpoint, query_of, store_of
from orchestrator.api.http.schemas import ChangeQuery, ExportQuery
from orchestrator.api.routes.agents import find_agent
from orchestrator.errors import ObjectDamaged
from orchestrator.models import AgentState
from orchestrator.queries.changes import export_patch, export_ref, read_bundle, read_patch
from orchestrator.store import changes, objects
from orchestrator.store.async_client import AsyncStore
from orchestrator.store.objects import ObjectRef

PATCH = "text/x-diff"
BUNDLE = "application/x-git-bundle"
_TYPES = {"patch": PATCH, "bundle": BUNDLE}

T = TypeVar("T")


async def diff(request: Request) -> Response:
    """Return an agent's change, or a retained commit beside it, as a patch for readers."""
    query, agent = query_of(request, ChangeQuery), await find_agent(request)
    state = request.app.state
    read = partial(read_patch, state.settings, state.blocking_store, agent.agent_id, query.ref)
    return Response(await _read(request, read), media_type=PATCH)


async def export(request: Request) -> Response:
    """Return an agent's retained change, or a commit beside it, as a bundle or a whole patch."""
    query, agent = query_of(request, ExportQuery), await find_agent(request)
    is_patch, state = query.format == "patch", request.app.state
    if not is_patch and not query.ref:
        found = await store_of(request).follow(changes.newest_object(agent.agent_id, agent.attempt))
        if found is not None:
            return await _streamed(store_of(request), found, agent)
    settings, store, name = state.settings, state.blocking_store, agent.agent_id
    if query.ref:
        make = partial(export_ref, settings, store, name, query.ref, as_patch=is_patch)
    elif is_patch:
        make = partial(export_patch, settings, store, name)
    else:
        make = partial(read_bundle, store, name)
    content = await _read(request, make)
    return Response(content, headers=_headers(agent, query.format), media_type=_TYPES[query.format])


async def _read(request: Request, read: Callable[[], T]) -> T:
    """Read a change with git, in a thread: git may have to fetch the base commit first."""
    async with request.app.state.git_readers:
        return await run_in_threadpool(read)


def _headers(agent: AgentState, suffix: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{agent.agent_id}.{suffix}"'}


async def _streamed(store: AsyncStore, ref: ObjectRef, agent: AgentState) -> StreamingResponse:
    """Return a stored bundle piece by piece: the process holds none of them for long."""
    # The first piece is read before the head of the answer, so that its absence is an error.
    first = await _piece(store, ref, 0) if ref.pieces else b""
    headers = {**_headers(agent, "bundle"), "Content-Length": str(ref.size)}
    return StreamingResponse(_pieces(store, ref, first), headers=headers, media_type=BUNDLE)


async def _pieces(store: AsyncStore, ref: ObjectRef, first: bytes) -> AsyncIterator[bytes]:
    digest = hashlib.sha256()
    for number in range(ref.pieces):
        piece = await _piece(store, ref, number) if number else first
        digest.update(piece)
        if number == ref.pieces - 1 and digest.hexdigest() != ref.digest:
            # The client gets less than the announced length, and so refuses all of it.
            raise ObjectDamaged
        yield piece


async def _piece(store: AsyncStore, ref: ObjectRef, number: int) -> bytes:
    piece = await store.run(objects.piece(ref, number))
    if piece is None:
        raise ObjectDamaged
    return piece


ENDPOINTS = [
    Endpoint(
        *("GET", "/agents/{agentId}/diff", diff, "The change of an agent as a patch"),
        answers={200: (PATCH,)},
        query=ChangeQuery,
        refusals=(404, 409, 422, 502),
    ),
    Endpoint(
        *("GET", "/agents/{agentId}/export", export, "The retained change of an agent as a file"),
        answers={200: (BUNDLE, PATCH)},
        query=ExportQuery,
        refusals=(404, 409, 422, 502),
    ),
]
