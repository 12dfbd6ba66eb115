"""The OpenAPI document, built from the declarations of the routes and the records' schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.api.http.endpoint import Answer, Endpoint
from orchestrator.api.http.model_schema import conditions, fallback_conditions
from orchestrator.api.http.schemas import Problem
from orchestrator.control.api_keys import UNLIMITED
from orchestrator.gates.profiles import profiles
from orchestrator.interfaces.model_offer import ModelOffer
from orchestrator.models import Fallback, Record, SpawnRequest

PROBLEM = "application/problem+json"
_REF = "#/components/schemas/{model}"
_SCHEMES: dict[str, Any] = {
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_PLACE = re.compile(r"\{(\w+)(?::path)?\}")
#: The refusals of every route: a foreign Host or Origin.
_ANY = (HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST)


def document(
    endpoints: Sequence[Endpoint],
    *,
    asks_for_keys: bool,
    offers: Mapping[str, ModelOffer],
    default_agent: str,
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes, on a server with these agent backends."""
    models = {model for endpoint in endpoints for model in _models(endpoint)} | {Problem}
    modes: list[tuple[type[BaseModel], Literal["validation"]]] = [
        (model, "validation") for model in sorted(models, key=lambda model: model.__name__)
    ]
    _, schemas = models_json_schema(modes, ref_template=_REF)
    _name_choices(schemas["$defs"], offers, default_agent)
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        path = paths.setdefault(_PLACE.sub(r"{\1}", endpoint.path), {})
        path[endpoint.method.lower()] = _operation(endpoint, asks_for_keys=asks_for_keys)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mosaic Orchestrator", "version": version("mosaic-orchestrator")},
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": _SCHEMES},
    }


def _name_choices(
    schemas: dict[str, Any], offers: Mapping[str, ModelOffer], default_agent: str
) -> None:
    """Name what this server accepts of `agent`, `model`, `effort` and `gates`: others are refused.

    The defaults of ORCHESTRATOR_MODELS are not described: they change with the agentType.
    """
    fields = schemas[SpawnRequest.__name__]["properties"]
    known = [{"enum": sorted(offers)}, {"type": "null"}]
    fields["agent"]["anyOf"] = schemas[Fallback.__name__]["properties"]["agent"]["anyOf"] = known
    schemas[SpawnRequest.__name__]["allOf"] = conditions(offers, default_agent)
    schemas[Fallback.__name__]["allOf"] = fallback_conditions(offers)
    fields["gates"]["items"] = {"enum": sorted(profiles().gates)}


def _models(endpoint: Endpoint) -> Iterable[type[Record]]:
    if endpoint.body is not None:
        yield endpoint.body
    for kinds in endpoint.answers.values():
        yield from (kind for kind in kinds if not isinstance(kind, str))


def _operation(endpoint: Endpoint, *, asks_for_keys: bool) -> dict[str, Any]:
    room = endpoint.handler.__module__.rpartition(".")[2]
    operation: dict[str, Any] = {
        "operationId": f"{room}_{endpoint.handler.__name__}",
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query(endpoint), *_headers(endpoint)],
        "responses": {
            str(status): _response(status, kinds) for status, kinds in endpoint.answers.items()
        },
        "security": [],
    }
    if endpoint.scope is not None:
        operation["description"] = f"Requires a key of scope `{endpoint.scope}`."
        if asks_for_keys:
            operation["security"] = [{name: []} for name in _SCHEMES]
    if endpoint.body is not None:
        operation["requestBody"] = _body({"$ref": _REF.format(model=endpoint.body.__name__)})
        operation["requestBody"]["required"] = endpoint.is_body_required
    for status in sorted(_refusals(endpoint)):
        operation["responses"].setdefault(str(int(status)), _response(status, (Problem,)))
    return operation


def _refusals(endpoint: Endpoint) -> set[int]:
    statuses: set[int] = {*_ANY, *endpoint.refusals}
    if endpoint.scope is not None:
        statuses |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE}
        if endpoint.scope not in UNLIMITED:
            statuses.add(HTTPStatus.TOO_MANY_REQUESTS)
    if endpoint.body is not None:
        statuses |= {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT}
    return statuses


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _response(status: int, kinds: Sequence[Answer]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for kind in kinds:
        if isinstance(kind, str):
            shape = "object" if kind.endswith("json") else "string"
            content[kind] = {"schema": {"type": shape}}
        else:
            media_type = PROBLEM if kind is Problem else "application/json"
            content[media_type] = {"schema": {"$ref": _REF.format(model=kind.__name__)}}
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    return {**response, "content": content} if content else response


def _path_parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    for name in _PLACE.findall(endpoint.path):
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    if endpoint.query is None:
        return
    schema = endpoint.query.model_json_schema(ref_template=_REF)
    for name, field in schema.get("properties", {}).items():
        # A query has no null: an absent parameter means None.
        options = [option for option in field.pop("anyOf", []) if option != {"type": "null"}]
        field.pop("default", None)
        yield {"name": name, "in": "query", "schema": {**field, **(options[0] if options else {})}}


def _headers(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    for name, header in endpoint.headers.items():
        yield {
            "name": name,
            "in": "header",
            "description": header.purpose,
            "schema": {"type": "string", "pattern": header.pattern},
        }
