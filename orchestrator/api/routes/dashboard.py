"""The live dashboard: its page, and its summary of the fleet.

The page contains no data and needs no key; it asks its user for one.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.api.http import static_files
from orchestrator.api.http.endpoint import Endpoint, query_of, store_of
from orchestrator.models import Fleet, Record
from orchestrator.models.identifiers import AGENT_ID
from orchestrator.queries.fleet import survey
from orchestrator.wiring import clock

_MOST_AGENTS = 100


class FleetQuery(Record):
    """The query of `GET /fleet`: the agents to include."""

    #: Ids, separated by commas; an unknown id is ignored.
    agents: str = ""

    @property
    def agent_ids(self) -> tuple[str, ...]:
        """The valid ids, each once, at most a hundred."""
        given = dict.fromkeys(filter(AGENT_ID.fullmatch, self.agents.split(",")))
        return tuple(given)[:_MOST_AGENTS]


async def page(request: Request) -> Response:
    """Return the page of the dashboard."""
    del request
    return static_files.page("index.html")


async def fleet(request: Request) -> JSONResponse:
    """Return a summary of the fleet, and of the agents in the query."""
    query = query_of(request, FleetQuery)
    state = request.app.state
    backends = state.submit_service.agents
    flow = survey(query.agent_ids, backends, state.settings, clock())
    found = await store_of(request).follow(flow)
    return JSONResponse(found.wire())


ENDPOINTS = [
    Endpoint(
        *("GET", "/", page, "The live dashboard"),
        answers={200: ("text/html",)},
        scope=None,
    ),
    Endpoint(
        *("GET", "/fleet", fleet, "A summary of the fleet and of some agents"),
        answers={200: (Fleet,)},
        query=FleetQuery,
        refusals=(422,),
    ),
]
