"""Lifecycle events over HTTP: the live stream, and the timeline of one agent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.api.http.endpoint import Endpoint, query_of, store_of
from orchestrator.api.http.event_feed import Feed
from orchestrator.api.http.schemas import EventsQuery, Timeline
from orchestrator.api.http.sse import EVENT_STREAM, LAST_EVENT_ID, EventStream
from orchestrator.api.routes.agents import find_agent
from orchestrator.queries.timeline import read_timeline


async def events(request: Request) -> Response:
    """Stream the lifecycle events of all agents."""
    seen = request.headers.get("last-event-id")
    query = query_of(request, EventsQuery, **({"cursor": seen} if seen else {}))
    feed: Feed = request.app.state.feed
    after, greeting = await feed.begin(query.cursor)

    async def frames() -> AsyncIterator[str]:
        yield greeting
        async for frame in feed.follow(after):
            yield frame

    return EventStream(frames())


async def timeline(request: Request) -> Response:
    """Return the events of an agent, and the audit entries about it."""
    agent = await find_agent(request)
    found = await store_of(request).follow(read_timeline(agent))
    return JSONResponse(
        {
            "events": [{**json.loads(event.document), "id": event.id} for event in found.events],
            "audit": [entry.wire() for entry in found.audit],
        }
    )


ENDPOINTS = [
    Endpoint(
        *("GET", "/agents/events", events, "Stream lifecycle events without a gap"),
        answers={200: (EVENT_STREAM,)},
        query=EventsQuery,
        headers=LAST_EVENT_ID,
        refusals=(422,),
    ),
    Endpoint(
        *("GET", "/agents/{agentId}/timeline", timeline, "An agent's events and audit"),
        answers={200: (Timeline,)},
        refusals=(404,),
    ),
]
