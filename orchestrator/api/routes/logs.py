"""An agent's output: in pages, or as server-sent events until the agent has ended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.api.http.endpoint import Endpoint, query_of, store_of
from orchestrator.api.http.schemas import LogPage, LogQuery
from orchestrator.api.http.sse import EVENT_STREAM, LAST_EVENT_ID, EventStream
from orchestrator.api.routes.agents import find_agent
from orchestrator.queries.follow import Snapshot, poll
from orchestrator.store import agent_logs
from orchestrator.store.async_client import AsyncStore


async def logs(request: Request) -> Response:
    """Return a page of output, or stream it."""
    wants_stream = EVENT_STREAM in request.headers.get("accept", "")
    seen = request.headers.get("last-event-id") if wants_stream else None
    query = query_of(request, LogQuery, **({"cursor": seen} if seen else {}))
    agent, store = await find_agent(request), store_of(request)
    if wants_stream:
        frames = _follow(store, agent.agent_id, query.cursor, request.app.state.is_stopping)
        return EventStream(frames)
    if query.tail is not None:
        last = await store.follow(agent_logs.last_lines(agent.agent_id, query.tail))
        return JSONResponse({"lines": [line.wire() for line in last]})
    lines = await store.follow(
        agent_logs.read_log(agent.agent_id, after=query.cursor, count=query.limit + 1)
    )
    document: dict[str, object] = {"lines": [line.wire() for line in lines[: query.limit]]}
    if len(lines) > query.limit:
        document["nextCursor"] = lines[query.limit - 1].id
    return JSONResponse(document)


async def _follow(
    store: AsyncStore, agent_id: str, after: str, is_stopping: Callable[[], bool]
) -> AsyncIterator[str]:
    seen: Snapshot | None = None
    while not is_stopping():
        seen = await store.follow(poll(agent_id, seen, after=after))
        for line in seen.lines:
            yield f"id: {line.id}\nevent: log\ndata: {json.dumps(line.wire())}\n\n"
        if seen.is_last:
            # Without this event a client cannot distinguish the end from a cut, and reconnects.
            yield f'event: end\ndata: {{"status": "{seen.agent.status}"}}\n\n'
            return
        if not seen.lines:
            yield ": still running\n\n"


ENDPOINTS = [
    Endpoint(
        *("GET", "/agents/{agentId}/logs", logs, "An agent's output, in pages or as a stream"),
        answers={200: (LogPage, EVENT_STREAM)},
        query=LogQuery,
        headers=LAST_EVENT_ID,
        refusals=(404, 422),
    )
]
