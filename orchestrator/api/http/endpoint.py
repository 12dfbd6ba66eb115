"""The declaration of a route: scope, parameters, body and all its responses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, TypeVar

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.control.api_keys import ApiKeys
from orchestrator.errors import RequestInvalid, ScopeMissing
from orchestrator.models import Caller, KeyScope, Record, faults_of
from orchestrator.queries.agent_list import full_id
from orchestrator.store.async_client import AsyncStore

BODY_LIMIT_BYTES = 2**20
#: The time limit of a request body.
BODY_WITHIN_S = 20.0

Handler = Callable[[Request], Awaitable[Response]]
#: A record as JSON, or another media type.
Answer = type[Record] | str
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Header:
    """A request header that a route reads."""

    purpose: str
    pattern: str
    #: Whether its route checks the value itself.
    is_checked_by_route: bool = False

    def check(self, name: str, value: str | None) -> None:
        """Refuse a value that is not as the document says.

        Raises:
            RequestInvalid: the value does not match the pattern.
        """
        if value is None or self.is_checked_by_route or re.fullmatch(self.pattern, value):
            return
        raise RequestInvalid(((name, f"must match {self.pattern}"),))


@dataclass(frozen=True)
class Endpoint:
    """One route; the application, the guard and the OpenAPI document are built from these."""

    method: Literal["GET", "POST", "PATCH"]
    path: str
    handler: Handler
    summary: str
    #: Status → the record or media type of its response.
    answers: Mapping[int, tuple[Answer, ...]]
    #: The scope that a key needs; None if the route requires no key.
    scope: KeyScope | None = KeyScope.READ
    query: type[Record] | None = None
    body: type[Record] | None = None
    is_body_required: bool = False
    headers: Mapping[str, Header] = field(default_factory=dict)
    #: Statuses of its refusals, besides those of every route.
    refusals: tuple[int, ...] = ()
    #: Whether the request counts against the rate limit of spawns.
    is_spawn: bool = False

    def route(self) -> Route:
        """Return the route to serve."""
        return Route(self.path, self._serve, methods=[self.method])

    async def _serve(self, request: Request) -> Response:
        if self.scope is not None:
            caller = caller_of(request)
            if self.scope not in caller.scopes:
                msg = f"The key {caller.name} may not {self.scope}."
                raise ScopeMissing(msg)
            api_keys: ApiKeys = request.app.state.api_keys
            await store_of(request).follow(
                api_keys.admit(caller, self.scope, is_spawn=self.is_spawn)
            )
        for name, header in self.headers.items():
            header.check(name, request.headers.get(name))
        if (given := request.path_params.get("agentId")) is not None:
            request.path_params["agentId"] = await store_of(request).follow(full_id(given))
        return await self.handler(request)


def caller_of(request: Request) -> Caller:
    """Return the caller that the guard authenticated."""
    caller: Caller = request.state.caller
    return caller


def store_of(request: Request) -> AsyncStore:
    """Return the store that this application opened."""
    store: AsyncStore = request.app.state.store
    return store


def query_of(request: Request, model: type[R], **given: str) -> R:
    """Parse the query; `given` overrides it.

    Raises:
        RequestInvalid: with every fault and its path.
    """
    try:
        return model.model_validate({**request.query_params, **given})
    except ValidationError as error:
        raise RequestInvalid(faults_of(error)) from error


async def read_body(request: Request, *, limit_bytes: int = BODY_LIMIT_BYTES) -> bytes:
    """Read the body.

    Raises:
        HTTPException: 413 above the limit, 408 after BODY_WITHIN_S.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise HTTPException(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        f"The body is larger than {limit_bytes} bytes.",
                    )
    except (TimeoutError, ClientDisconnect) as error:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT, f"The body did not arrive within {BODY_WITHIN_S:g} s."
        ) from error
    return bytes(body)


async def document_of(request: Request) -> object:
    """Read the body as JSON; return None if it is empty.

    Raises:
        RequestInvalid: the body is not JSON.
        HTTPException: as `read_body` does.
    """
    body = await read_body(request)
    return _parsed(body) if body else None


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestInvalid((("body", f"is not JSON ({error})"),)) from error


async def body_of(request: Request, model: type[R], *, limit_bytes: int = BODY_LIMIT_BYTES) -> R:
    """Parse an optional body; raises as `document_of` does, and RequestInvalid with each fault."""
    body = await read_body(request, limit_bytes=limit_bytes)
    try:
        return model.model_validate(_parsed(body) if body else {})
    except ValidationError as error:
        raise RequestInvalid(faults_of(error)) from error
