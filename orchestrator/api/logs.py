"""An agent's output: in pages, or as server-sent events until the agent has ended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.api.agents import find_agent, store_of
from orchestrator.errors import RequestInvalid
from orchestrator.lifecycle.watching import Look, look
from orchestrator.models import Record, faults_of
from orchestrator.store import streams
from orchestrator.store.executors import AsyncStore

_EVENT_STREAM = "text/event-stream"


class LogQuery(Record):
    """What `GET /agents/{agentId}/logs` may be asked; a cursor is the id of the last line seen."""

    cursor: Annotated[str, StringConstraints(pattern=r"^([0-9]{1,19}-[0-9]{1,19})?$")] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 500


async def logs(request: Request) -> Response:
    """Answer with a page of output, or follow it."""
    wants_stream = _EVENT_STREAM in request.headers.get("accept", "")
    given = dict(request.query_params)
    if wants_stream and (seen := request.headers.get("last-event-id")):
        given["cursor"] = seen
    try:
        query = LogQuery.model_validate(given)
    except ValidationError as error:
        raise RequestInvalid(faults_of(error)) from error
    agent, store = await find_agent(request), store_of(request)
    if wants_stream:
        frames = _follow(store, agent.agent_id, query.cursor, request.app.state.is_stopping)
        return StreamingResponse(
            frames, headers={"Cache-Control": "no-store"}, media_type=_EVENT_STREAM
        )
    lines = await store.run(
        streams.read_log(agent.agent_id, after=query.cursor, count=query.limit + 1)
    )
    document: dict[str, object] = {"lines": [line.wire() for line in lines[: query.limit]]}
    if len(lines) > query.limit:
        document["nextCursor"] = lines[query.limit - 1].id
    return JSONResponse(document)


async def _follow(
    store: AsyncStore, agent_id: str, after: str, is_stopping: Callable[[], bool]
) -> AsyncIterator[str]:
    seen: Look | None = None
    while not is_stopping():
        seen = await store.follow(look(agent_id, seen, after=after))
        for line in seen.lines:
            yield f"id: {line.id}\nevent: log\ndata: {json.dumps(line.wire())}\n\n"
        if seen.is_last:
            # Without it an EventSource cannot tell the end from a cut, and would come again.
            yield f'event: end\ndata: {{"status": "{seen.agent.status}"}}\n\n'
            return
        if not seen.lines:
            yield ": still running\n\n"


ROUTES = [Route("/agents/{agent_id}/logs", logs)]
